#include "api/routes.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "api/completions.h"
#include "api/embeddings.h"
#include "api/errors.h"
#include "api/metrics.h"
#include "api/page.h"
#include "api/topology.h"
#include "api/trace.h"
#include "base/log.h"
#include "cluster/explain.h"
#include "text/utf8.h"

namespace exo::api {
namespace json = boost::json;

namespace {

using Response = std::shared_ptr<HttpResponse>;

void send_json(HttpResponse& response, const json::value& value, int status = 200) {
  // Names and reasons may come from peers as any bytes.
  response.send(status, "application/json", text::replace_invalid_utf8(json::serialize(value)));
}

// A page on another site must not reach a local node through a name that it points at 127.0.0.1 (DNS rebinding):
// only addresses and names that cannot be foreign are answered.
bool host_allowed(std::string_view host, const Services& services) {
  if (host.empty()) return true;
  if (const auto colon = host.rfind(':');
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos) {
    host = host.substr(0, colon);
  }
  if (host == "localhost" || host.ends_with(".localhost") || host.ends_with(".local") || host.starts_with('['))
    return true;
  if (host.find_first_not_of("0123456789.") == std::string_view::npos) return true;
  if (host.find('.') == std::string_view::npos) return true;  // a bare name of the local network
  std::string_view rest = services.allowed_hosts;
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    if (rest.substr(0, comma) == host) return true;
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return false;
}

// Equal in a time that does not depend on where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]);
  return difference == 0;
}

Status admit(const HttpRequest& request, const Services& services) {
  if (!host_allowed(request.header("host"), services)) {
    return fail(ErrorCode::kPermissionDenied, "the Host '{}' is not one of this node's; allow it with --allow-host",
                request.header("host"));
  }
  // Browsers name the page a request comes from; pages of other origins have no business here.
  const auto origin = request.header("origin");
  if (request.method != "GET" && !origin.empty()) {
    const auto scheme = origin.find("://");
    if (scheme == std::string_view::npos || (origin.substr(scheme + 3) != request.header("host") &&
                                             !host_allowed(origin.substr(scheme + 3), services))) {
      return fail(ErrorCode::kPermissionDenied, "requests from the page {} are not allowed", origin);
    }
  }
  const bool open = request.path == "/" || request.path == "/healthz" || request.path.starts_with("/assets/");
  if (services.api_key.empty() || open) return {};
  const auto authorization = request.header("authorization");
  const auto key = authorization.starts_with("Bearer ") ? authorization.substr(7) : request.header("x-api-key");
  if (!same_secret(key, services.api_key)) {
    return fail(ErrorCode::kPermissionDenied, "this node asks for its API key: send 'Authorization: Bearer KEY'");
  }
  return {};
}

json::object model_json(const wire::ModelFacts& facts) {
  return {{"id", facts.name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "exo"},
          {"context_length", facts.context_length},
          {"architecture", facts.architecture},
          {"weight_type", facts.weight_type},
          {"file_bytes", facts.file_bytes}};
}

void get_models(const Services& services, const HttpRequest& request, HttpResponse& response) {
  constexpr std::string_view kPrefix = "/v1/models/";
  const std::string_view wanted =
      request.path.starts_with(kPrefix) ? std::string_view(request.path).substr(kPrefix.size()) : "";
  json::array list;
  for (const auto& facts : services.cluster.models()) {
    if (!wanted.empty() && facts.name == wanted) return send_json(response, model_json(facts));
    list.push_back(model_json(facts));
  }
  if (!wanted.empty()) {
    return send_error(response, Error{ErrorCode::kNotFound,
                                      fmt::format("no device of the cluster has a model named '{}'", wanted)});
  }
  send_json(response, json::object{{"object", "list"}, {"data", std::move(list)}});
}

struct PlacementBody {
  std::string model;
  cluster::PlacementRequest request;
};

Result<PlacementBody> parse_placement(std::string_view body) {
  json::error_code error;
  const auto value = json::parse(body, error);
  const auto* object = error ? nullptr : value.if_object();
  if (object == nullptr) return fail(ErrorCode::kInvalidArgument, "the body must be a JSON object with 'model'");
  PlacementBody result;
  auto number = [&](std::string_view name, int32_t& out) -> Status {
    const auto* field = object->if_contains(name);
    if (field == nullptr) return {};
    json::error_code number_error;
    const auto n = field->to_number<int32_t>(number_error);
    if (number_error || n < 1)
      return fail(ErrorCode::kInvalidArgument, "'{}' must be a positive whole number", name);
    out = n;
    return {};
  };
  if (const auto* model = object->if_contains("model"); model != nullptr && model->is_string())
    result.model = model->as_string();
  if (const auto* strategy = object->if_contains("strategy")) {
    if (!strategy->is_string()) return fail(ErrorCode::kInvalidArgument, "'strategy' must be a string");
    EXO_TRY(result.request.strategy, cluster::parse_strategy(std::string_view(strategy->as_string())));
  }
  if (const auto* objective = object->if_contains("objective")) {
    if (!objective->is_string()) return fail(ErrorCode::kInvalidArgument, "'objective' must be a string");
    EXO_TRY(result.request.objective, cluster::parse_objective(std::string_view(objective->as_string())));
  }
  const auto flag = [&](std::string_view name) -> Result<bool> {
    const auto* field = object->if_contains(name);
    if (field == nullptr) return false;
    if (!field->is_bool()) return fail(ErrorCode::kInvalidArgument, "'{}' must be true or false", name);
    return field->as_bool();
  };
  EXO_TRY(result.request.compare, flag("compare"));
  EXO_CHECK_OK(number("prompt", result.request.prompt_tokens));
  EXO_CHECK_OK(number("concurrency", result.request.concurrency));
  EXO_CHECK_OK(number("context", result.request.context_tokens));
  EXO_CHECK_OK(number("min_stages", result.request.min_stages));
  if (const auto* stages = object->if_contains("stages")) {
    const auto* list = stages->if_array();
    if (list == nullptr)
      return fail(ErrorCode::kInvalidArgument, "'stages' must be a list of {{\"node\", \"layers\"}}");
    for (const auto& entry : *list) {
      const auto* stage = entry.if_object();
      const auto* node = stage != nullptr ? stage->if_contains("node") : nullptr;
      const auto* layers = stage != nullptr ? stage->if_contains("layers") : nullptr;
      if (node == nullptr || !node->is_string() || layers == nullptr || !layers->is_int64()) {
        return fail(ErrorCode::kInvalidArgument, "each of 'stages' needs 'node' (a name) and 'layers' (a number)");
      }
      result.request.manual.push_back({std::string(node->as_string()), static_cast<int32_t>(layers->as_int64())});
    }
  }
  return result;
}

void post_placement(const Services& services, const HttpRequest& request, const Response& response, bool apply) {
  auto body = parse_placement(request.body);
  if (!body) return send_error(*response, body.error());
  const auto format = request.query.find("format");
  const bool as_text = format != request.query.end() && format->second == "text";
  services.models.find(
      body->model, [&services, response, apply, as_text, how = body->request](Result<ServedModel> model) {
        if (!model) return send_error(*response, model.error());
        auto plan = services.cluster.preview(model->facts.fingerprint, how);
        if (!plan) return send_error(*response, plan.error());
        if (apply) {
          const auto existing = services.cluster.find_instance(model->facts.fingerprint);
          const auto status = existing && !existing->record.stopped
                                  ? services.cluster.replan_instance(model->facts.fingerprint, how)
                                  : services.cluster.ensure_instance(model->facts.fingerprint, how);
          if (!status) return send_error(*response, status.error());
        }
        if (as_text) {
          return response->send(200, "text/plain; charset=utf-8",
                                text::replace_invalid_utf8(cluster::explain(*plan, model->facts)));
        }
        send_json(*response, plan_json(*plan, model->facts), apply ? 202 : 200);
      });
}

void delete_instance(const Services& services, const HttpRequest& request, HttpResponse& response) {
  const auto name = std::string_view(request.path).substr(std::string_view("/v1/instances/").size());
  for (const auto& view : services.cluster.instances()) {
    if (view.record.model_name != name && view.record.fingerprint != name) continue;
    const auto status = services.cluster.stop_instance(view.record.fingerprint);
    if (!status) return send_error(response, status.error());
    return send_json(response, json::object{{"stopped", view.record.model_name}});
  }
  send_error(response, Error{ErrorCode::kNotFound, fmt::format("no model named '{}' is loaded", name)});
}

// {"node"}: a name or the beginning of an id; absent or empty: this node.
void post_leave(const Services& services, const HttpRequest& request, HttpResponse& response) {
  std::string wanted;
  if (!request.body.empty()) {
    json::error_code error;
    const auto value = json::parse(request.body, error);
    const auto* object = error ? nullptr : value.if_object();
    const auto* node = object == nullptr ? nullptr : object->if_contains("node");
    if (object == nullptr || (node != nullptr && !node->is_string()))
      return send_error(response, Error{ErrorCode::kInvalidArgument,
                                        "the body must be empty or a JSON object with 'node', a string"});
    if (node != nullptr) wanted = std::string(node->as_string());
  }
  const auto& self = services.cluster.self();
  const auto members = services.cluster.members();
  std::vector<const wire::NodeFacts*> found;
  for (const auto& member : members) {
    const bool is_it = wanted.empty() ? member.id == self.id : member.name == wanted || member.id.hex() == wanted;
    if (is_it) found.push_back(&member);
  }
  if (found.empty() && wanted.size() >= 4) {
    for (const auto& member : members)
      if (member.id.hex().starts_with(wanted)) found.push_back(&member);
  }
  if (found.size() != 1) {
    return send_error(
        response, Error{found.empty() ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument,
                        fmt::format("{} device is called '{}'", found.empty() ? "no" : "more than one", wanted)});
  }
  const auto& node = *found.front();
  const auto reason = fmt::format("asked for on {}", self.name);
  if (node.id == self.id) {
    services.leave(reason);
  } else if (!services.transport.send(node.id, wire::LeaveRequest{reason})) {
    return send_error(response, Error{ErrorCode::kUnavailable, fmt::format("there is no link to {}", node.name)});
  }
  send_json(response, json::object{{"leaving", node.id.hex()}, {"name", node.name}}, 202);
}

void send_page(const HttpRequest& request, HttpResponse& response) {
  const auto* asset = find_page_asset(request.path);
  if (asset == nullptr) {
    return send_error(response, Error{ErrorCode::kNotFound, fmt::format("there is nothing at {}", request.path)});
  }
  response.send(200, asset->content_type, std::string(asset->bytes),
                {{"Content-Security-Policy",
                  "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
                  "img-src 'self' data:; frame-ancestors 'none'"},
                 {"Cache-Control", request.path == "/" ? "no-cache" : "max-age=31536000, immutable"}});
}

}  // namespace

HttpHandler make_routes(const Services& services) {
  return [&services](const HttpRequest& request, Response response) {
    log_debug("http", "{} {} from {}", request.method, request.path, request.remote_address);
    if (auto admitted = admit(request, services); !admitted) return send_error(*response, admitted.error());
    const bool get = request.method == "GET", post = request.method == "POST";
    const std::string_view path = request.path;
    if (get && path == "/healthz")
      return send_json(*response, json::object{{"status", "ok"}, {"version", services.version}});
    if (get && (path == "/v1/models" || path.starts_with("/v1/models/")))
      return get_models(services, request, *response);
    if (get && path == "/metrics") {
      return response->send(200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(services));
    }
    if (get && path.starts_with("/v1/trace/") && services.traces != nullptr)
      return get_trace(services, request, response);
    if (get && path == "/v1/requests" && services.traces != nullptr) return get_requests(services, response);
    if (get && path == "/v1/topology") return send_json(*response, topology_json(services));
    if (post && path == "/v1/chat/completions") return post_chat_completions(services, request, response);
    if (post && path == "/v1/completions") return post_completions(services, request, response);
    if (post && path == "/v1/embeddings") return post_embeddings(services, request, response);
    if (post && path == "/v1/rerank") return post_rerank(services, request, response);
    if (post && path == "/v1/plan") return post_placement(services, request, response, false);
    if (post && path == "/v1/instances") return post_placement(services, request, response, true);
    if (post && path == "/v1/leave") return post_leave(services, request, *response);
    if (request.method == "DELETE" && path.starts_with("/v1/instances/"))
      return delete_instance(services, request, *response);
    if (get) return send_page(request, *response);
    const bool known = path.starts_with("/v1/");
    response->send(known ? 405 : 404, "application/json",
                   json::serialize(error_json(
                       {ErrorCode::kInvalidArgument,
                        fmt::format("{} {} is not something this node answers", request.method, path)})));
  };
}

}  // namespace exo::api
