#include "app/topology_client.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <utility>

namespace exo::app {
namespace json = boost::json;

namespace {

bool flag(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_bool() && value->as_bool();
}

NodeId node_id(const json::object& object, std::string_view name) {
  return NodeId::from_hex(json_text(object, name)).value_or(NodeId{});
}

LayerRange layers(const json::object& object) {
  const auto* value = object.if_contains("layers");
  if (value == nullptr || !value->is_array() || value->as_array().size() != 2) return {};
  json::error_code error;
  return {LayerIndex(value->as_array()[0].to_number<int32_t>(error)),
          LayerIndex(value->as_array()[1].to_number<int32_t>(error))};
}

// Calls `use` with every object of a list field.
template <typename Use>
void each(const json::object& object, std::string_view name, Use use) {
  const auto* list = object.if_contains(name);
  if (list == nullptr || !list->is_array()) return;
  for (const auto& entry : list->as_array()) {
    if (entry.is_object()) use(entry.as_object());
  }
}

wire::NodeFacts node_of(const json::object& entry) {
  wire::NodeFacts node;
  node.id = node_id(entry, "id");
  node.name = json_text(entry, "name");
  node.tokens_per_s = json_number<double>(entry, "tokens_per_s");
  node.withdrawal = json_text(entry, "withdrawal");
  node.device.processor = json_text(entry, "processor");
  node.device.threads = json_number<int32_t>(entry, "threads");
  node.device.memory_total_bytes = json_number<uint64_t>(entry, "memory_total_bytes");
  node.device.memory_budget_bytes = json_number<uint64_t>(entry, "memory_budget_bytes");
  node.device.memory_bandwidth_bytes_per_s = json_number<double>(entry, "memory_bandwidth_bytes_per_s");
  return node;
}

void read_stages(const json::object& entry, std::vector<wire::PlannedStage>& stages,
                 std::vector<wire::StageStatus>& statuses) {
  each(entry, "stages", [&](const json::object& stage) {
    auto& planned = stages.emplace_back(wire::PlannedStage{node_id(stage, "node"), layers(stage), 0, {}});
    each(stage, "members", [&](const json::object& member) {
      const double share = json_number<double>(member, "share") * wire::StageMember::kWholeShare;
      planned.members.push_back(
          {node_id(member, "node"), 0, static_cast<uint32_t>(std::clamp(share, 0.0, 65536.0))});
    });
    wire::StageStatus status;
    const auto state = json_text(stage, "state");
    status.state = state == "ready"    ? wire::StageState::kReady
                   : state == "failed" ? wire::StageState::kFailed
                                       : wire::StageState::kLoading;
    status.done_bytes = json_number<uint64_t>(stage, "done_bytes");
    status.total_bytes = json_number<uint64_t>(stage, "total_bytes");
    status.error = json_text(stage, "error");
    statuses.push_back(std::move(status));
  });
}

cluster::InstanceView instance_of(const json::object& entry) {
  cluster::InstanceView view;
  view.record.model_name = json_text(entry, "model");
  view.record.strategy = json_text(entry, "strategy");
  view.record.problem = json_text(entry, "problem");
  view.record.stopped = flag(entry, "stopped");
  view.record.epoch.counter = json_number<uint64_t>(entry, "epoch");
  view.record.context_tokens = json_number<int32_t>(entry, "context_tokens");
  view.ready = flag(entry, "ready");
  read_stages(entry, view.record.stages, view.statuses);
  const auto* successor = entry.if_contains("successor");
  if (successor == nullptr || !successor->is_object()) return view;
  // What serves is the previous ring of the one that is loading.
  view.record.previous = wire::PlannedRing{view.record.epoch, view.record.stages, view.record.context_tokens, 0};
  view.previous_ready = std::exchange(view.ready, false);
  view.record.epoch.counter = json_number<uint64_t>(successor->as_object(), "epoch");
  view.record.stages.clear();
  view.statuses.clear();
  read_stages(successor->as_object(), view.record.stages, view.statuses);
  return view;
}

}  // namespace

std::string json_text(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

Result<json::object> fetch_topology(const NodeUrl& url, const std::string& api_key) {
  EXO_TRY(const auto answer, http_request(url, "GET", "/v1/topology", "", api_key));
  json::error_code error;
  auto value = json::parse(answer.body, error);
  if (answer.status == 401)
    return fail(ErrorCode::kPermissionDenied, "the node at {}:{} asks for its API key (--api-key)", url.host,
                url.port);
  if (answer.status != 200 || error || !value.is_object()) {
    return fail(ErrorCode::kUnavailable, "what answers at {}:{} is no exo node (HTTP {})", url.host, url.port,
                answer.status);
  }
  return std::move(value.as_object());
}

ViewState view_of_topology(const json::object& topology, const std::string& api_url) {
  ViewState state;
  state.version = json_text(topology, "version");
  state.api_url = api_url;
  state.active_requests = json_number<uint64_t>(topology, "active_requests");
  const auto self = node_id(topology, "self");
  each(topology, "nodes", [&](const json::object& entry) {
    auto node = node_of(entry);
    state.members.insert(node.id == self ? state.members.begin() : state.members.end(), std::move(node));
  });
  each(topology, "links", [&](const json::object& entry) {
    for (auto& node : state.members) {
      if (node.id != node_id(entry, "from")) continue;
      node.links.push_back(
          {node_id(entry, "to"), json_text(entry, "interface"), json_number<uint32_t>(entry, "round_trip_us"), 0});
    }
  });
  each(topology, "instances", [&](const json::object& entry) { state.instances.push_back(instance_of(entry)); });
  each(topology, "models",
       [&](const json::object& entry) { state.models.emplace_back().name = json_text(entry, "name"); });
  each(topology, "differing_copies", [&](const json::object& entry) {
    state.notices.push_back(differing_copy_notice(json_text(entry, "model"), json_text(entry, "node_name"),
                                                  json_text(entry, "origin_name")));
  });
  each(topology, "refusals", [&](const json::object& entry) {
    state.refusals.push_back({json_text(entry, "address"), json_text(entry, "name"), json_text(entry, "reason")});
  });
  describe_draft(topology.if_contains("draft"), state);
  return state;
}

void describe_draft(const json::value* value, ViewState& state) {
  if (value == nullptr || !value->is_object()) return;
  const auto& draft = value->as_object();
  const auto model = json_text(draft, "model"), problem = json_text(draft, "problem");
  if (!problem.empty()) state.notices.push_back(fmt::format("draft model {} is not used: {}", model, problem));
  const auto before = state.drafts.size();
  each(draft, "targets", [&](const json::object& target) {
    const auto name = json_text(target, "model"), why_not = json_text(target, "why_not");
    if (!why_not.empty())
      state.notices.push_back(fmt::format("draft model {} does not guess for {}: {}", model, name, why_not));
    if (flag(target, "used"))
      state.drafts.push_back(fmt::format("{} guesses for {}: {} of {} tokens right", model, name,
                                         json_number<uint64_t>(target, "accepted_tokens"),
                                         json_number<uint64_t>(target, "drafted_tokens")));
  });
  if (state.drafts.size() == before && problem.empty())
    state.drafts.push_back(fmt::format("draft model {}: {}", model, json_text(draft, "state")));
}

}  // namespace exo::app
