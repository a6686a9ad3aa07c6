#include "api/trace.h"

#include <array>
#include <boost/json/serialize.hpp>
#include <charconv>

#include "api/errors.h"
#include "base/printable.h"
#include "text/utf8.h"

namespace exo::api {
namespace json = boost::json;

namespace {

json::array nodes_json(const std::vector<serve::NodeTrace>& nodes) {
  json::array list;
  for (const auto& node : nodes) {
    list.push_back(json::object{{"node", node.node.hex()},
                                {"name", node.name},
                                {"reached", node.reached},
                                {"clock_uncertainty_ms", static_cast<double>(node.uncertainty_ns) / 1e6}});
  }
  return list;
}

json::object passage_json(const serve::Passage& passage, const serve::Timeline& timeline) {
  json::object entry{{"stage", passage.stage},
                     {"node", timeline.nodes[passage.node].node.hex()},
                     {"node_name", timeline.nodes[passage.node].name},
                     {"arrived_ms", passage.arrived_ms},
                     {"queue_ms", passage.queue_ms},
                     {"compute_ms", passage.compute_ms},
                     {"send_ms", passage.send_ms},
                     {"sent_bytes", passage.sent_bytes},
                     {"failed", passage.failed}};
  if (passage.hop_ms) entry["hop_ms"] = *passage.hop_ms;
  return entry;
}

json::array steps_json(const serve::Timeline& timeline) {
  json::array list;
  for (const auto& step : timeline.steps) {
    json::array stages;
    for (const auto& passage : step.passages) stages.push_back(passage_json(passage, timeline));
    json::object entry{{"epoch", step.epoch.counter},
                       {"step", step.micro_batch.value},
                       {"rows", step.rows},
                       {"sequences", step.sequences},
                       {"stages", std::move(stages)}};
    if (step.launched_ms) entry["launched_ms"] = *step.launched_ms;
    if (step.answered_ms) entry["answered_ms"] = *step.answered_ms;
    list.push_back(std::move(entry));
  }
  return list;
}

json::object running_json(const wire::RunningRequest& running, const serve::NodeTrace& node,
                          const Services& services) {
  constexpr std::array<std::string_view, 6> kPhases = {"placing", "loading", "queued",
                                                       "prefill", "decode",  "resuming"};
  const auto view = services.cluster.find_instance(running.fingerprint);
  return {{"id", running.request.hex()},
          {"node", node.node.hex()},
          {"node_name", node.name},
          {"model", view ? view->record.model_name : running.fingerprint.substr(0, 8)},
          {"phase", kPhases.at(static_cast<size_t>(running.phase))},
          {"queue_position", running.queue_position},
          {"prompt_tokens", running.prompt_tokens},
          {"prefilled_tokens", running.prefilled_tokens},
          {"completion_tokens", running.completion_tokens},
          {"resumed", running.resumed},
          {"age_s", running.age_s},
          {"tokens_per_s", running.tokens_per_s}};
}

void send_timeline(const serve::Timeline& timeline, const std::string& format, HttpResponse& response) {
  if (timeline.empty())
    return send_error(response, Error{ErrorCode::kNotFound,
                                      fmt::format("no node remembers the request {}", timeline.request.hex())});
  if (format == "text") return response.send(200, "text/plain; charset=utf-8", trace_text(timeline));
  response.send(200, "application/json", format == "chrome" ? trace_chrome(timeline) : trace_json(timeline));
}

}  // namespace

std::optional<RequestId> parse_request_id(std::string_view text) {
  text = text.substr(text.rfind('-') + 1);
  RequestId id;
  if (text.size() != 32) return std::nullopt;
  const auto half = [&](size_t begin, uint64_t& out) {
    const char* end = text.data() + begin + 16;
    const auto [stop, error] = std::from_chars(text.data() + begin, end, out, 16);
    return error == std::errc() && stop == end;
  };
  if (!half(0, id.high) || !half(16, id.low)) return std::nullopt;
  return id;
}

std::string trace_json(const serve::Timeline& timeline) {
  json::array events;
  for (const auto& event : timeline.events) {
    events.push_back(json::object{{"at_ms", event.at_ms},
                                  {"node", timeline.nodes[event.node].node.hex()},
                                  {"node_name", timeline.nodes[event.node].name},
                                  {"event", serve::event_name(event.event.kind)},
                                  {"value", event.event.value},
                                  {"epoch", event.event.epoch.counter}});
  }
  json::array stages;
  for (const auto& mean : timeline.means) {
    stages.push_back(json::object{{"kind", mean.prefill ? "prefill" : "decode"},
                                  {"stage", mean.stage},
                                  {"node", timeline.nodes[mean.node].node.hex()},
                                  {"node_name", timeline.nodes[mean.node].name},
                                  {"steps", mean.steps},
                                  {"rows", mean.rows},
                                  {"queue_ms", mean.queue_ms},
                                  {"compute_ms", mean.compute_ms},
                                  {"send_ms", mean.send_ms},
                                  {"hop_ms", mean.hop_ms}});
  }
  return text::replace_invalid_utf8(json::serialize(json::object{{"id", timeline.request.hex()},
                                                                 {"nodes", nodes_json(timeline.nodes)},
                                                                 {"events", std::move(events)},
                                                                 {"stages", std::move(stages)},
                                                                 {"steps", steps_json(timeline)}}));
}

// The Trace Event Format of chrome://tracing: a process for each node, in it a thread for each stage.
std::string trace_chrome(const serve::Timeline& timeline) {
  json::array out;
  const auto name = [&](std::string_view what, size_t node, int32_t thread, const std::string& text) {
    out.push_back(json::object{
        {"ph", "M"}, {"name", what}, {"pid", node}, {"tid", thread}, {"args", json::object{{"name", text}}}});
  };
  const auto span = [&](std::string_view what, size_t node, int32_t thread, double begin_ms, double length_ms,
                        json::object args) {
    out.push_back(json::object{{"ph", "X"},
                               {"name", what},
                               {"pid", node},
                               {"tid", thread},
                               {"ts", begin_ms * 1000},
                               {"dur", std::max(length_ms, 0.0) * 1000},
                               {"args", std::move(args)}});
  };
  for (size_t i = 0; i < timeline.nodes.size(); ++i) name("process_name", i, 0, timeline.nodes[i].name);
  for (const auto& mean : timeline.means)
    name("thread_name", mean.node, mean.stage + 1, fmt::format("stage {}", mean.stage));
  for (const auto& event : timeline.events) {
    out.push_back(json::object{{"ph", "i"},
                               {"s", "p"},
                               {"name", serve::event_name(event.event.kind)},
                               {"pid", event.node},
                               {"tid", 0},
                               {"ts", event.at_ms * 1000},
                               {"args", json::object{{"value", event.event.value}}}});
  }
  for (const auto& step : timeline.steps) {
    const json::object args{{"epoch", step.epoch.counter},
                            {"step", step.micro_batch.value},
                            {"rows", step.rows},
                            {"sequences", step.sequences}};
    for (const auto& p : step.passages) {
      const double computes_ms = p.arrived_ms + p.queue_ms, sends_ms = computes_ms + p.compute_ms;
      span("queue", p.node, p.stage + 1, p.arrived_ms, p.queue_ms, args);
      span(fmt::format("step {}", step.micro_batch), p.node, p.stage + 1, computes_ms, p.compute_ms, args);
      span("send", p.node, p.stage + 1, sends_ms, p.send_ms, args);
      if (p.hop_ms) span("hop", p.node, p.stage + 1, sends_ms + p.send_ms, *p.hop_ms, args);
    }
  }
  return text::replace_invalid_utf8(
      json::serialize(json::object{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(out)}}));
}

std::string trace_text(const serve::Timeline& timeline) {
  std::string out = fmt::format("request {}\n\n", timeline.request.hex());
  const auto node_name = [&](size_t node) { return printable(timeline.nodes[node].name); };
  for (const auto& event : timeline.events) {
    out += fmt::format("{:>11.3f} ms  {:<20} {} {}\n", event.at_ms, node_name(event.node),
                       serve::event_name(event.event.kind), event.event.value);
  }
  out += fmt::format("\n{:<8} {:>5}  {:<20} {:>6} {:>8} {:>10} {:>12} {:>9} {:>9}\n", "", "stage", "node", "steps",
                     "rows", "queue ms", "compute ms", "send ms", "hop ms");
  double total_ms[2] = {0, 0};
  for (const auto& mean : timeline.means) {
    out += fmt::format("{:<8} {:>5}  {:<20} {:>6} {:>8} {:>10.3f} {:>12.3f} {:>9.3f} {:>9.3f}\n",
                       mean.prefill ? "prefill" : "decode", mean.stage, node_name(mean.node), mean.steps, mean.rows,
                       mean.queue_ms, mean.compute_ms, mean.send_ms, mean.hop_ms);
    total_ms[mean.prefill ? 0 : 1] += mean.queue_ms + mean.compute_ms + mean.send_ms + mean.hop_ms;
  }
  if (total_ms[1] > 0) out += fmt::format("\na step once around the ring: {:.3f} ms\n", total_ms[1]);
  for (const auto& node : timeline.nodes) {
    if (!node.reached) {
      out += fmt::format("{} could not be asked\n", printable(node.name));
    } else if (node.uncertainty_ns > 0) {
      out += fmt::format("the clock of {} is known to ±{:.3f} ms, and so are hops to and from it\n",
                         printable(node.name), static_cast<double>(node.uncertainty_ns) / 1e6);
    }
  }
  return out;
}

void get_trace(const Services& services, const HttpRequest& request,
               const std::shared_ptr<HttpResponse>& response) {
  const auto asked = std::string_view(request.path).substr(std::string_view("/v1/trace/").size());
  const auto id =
      asked == "last" ? services.traces->last_received() : parse_request_id(asked).value_or(RequestId{});
  if (id == RequestId{})
    return send_error(*response, Error{ErrorCode::kNotFound, asked == "last" ? "no request came to this node yet"
                                                                             : "that is no request's id"});
  const auto format = request.query.find("format");
  const std::string how = format == request.query.end() ? "" : format->second;
  const auto started = services.traces->gather(id, [response, id, how](std::vector<serve::NodeTrace> nodes) {
    send_timeline(serve::make_timeline(id, std::move(nodes)), how, *response);
  });
  if (!started) send_error(*response, started.error());
}

void get_requests(const Services& services, const std::shared_ptr<HttpResponse>& response) {
  const auto started = services.traces->gather_running([&services, response](std::vector<serve::NodeTrace> nodes) {
    json::array requests;
    for (const auto& node : nodes)
      for (const auto& running : node.running) requests.push_back(running_json(running, node, services));
    response->send(200, "application/json",
                   text::replace_invalid_utf8(json::serialize(
                       json::object{{"requests", std::move(requests)}, {"nodes", nodes_json(nodes)}})));
  });
  if (!started) send_error(*response, started.error());
}

}  // namespace exo::api
