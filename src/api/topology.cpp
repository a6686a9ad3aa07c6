#include "api/topology.h"

#include "cluster/content.h"

namespace exo::api {
namespace json = boost::json;

namespace {

json::array layers_json(LayerRange layers) { return {layers.begin.value, layers.end.value}; }

std::string_view state_name(wire::StageState state) {
  switch (state) {
    case wire::StageState::kLoading:
      return "loading";
    case wire::StageState::kReady:
      return "ready";
    case wire::StageState::kFailed:
      return "failed";
  }
  return "unknown";
}

json::object node_json(const wire::NodeFacts& node, bool is_self) {
  json::array addresses(node.addresses.begin(), node.addresses.end());
  json::array models;
  for (const auto& offer : node.models) {
    models.push_back(json::object{
        {"name", offer.facts.name}, {"complete", offer.complete}, {"content_root", offer.content_root}});
  }
  json::object rates;
  for (const auto& rate : node.device.format_rates) {
    rates[rate.weight_type] = json::object{{"stream_bytes_per_s", rate.stream_bytes_per_s},
                                           {"ops_per_s", rate.ops_per_s},
                                           {"few_rows_ops_per_s", rate.few_rows_ops_per_s}};
  }
  return {{"id", node.id.hex()},
          {"name", node.name},
          {"self", is_self},
          {"version", node.software_version},
          {"os", node.device.os},
          {"arch", node.device.arch},
          {"processor", node.device.processor},
          {"threads", node.device.threads},
          {"memory_total_bytes", node.device.memory_total_bytes},
          {"memory_budget_bytes", node.device.memory_budget_bytes},
          {"memory_bandwidth_bytes_per_s", node.device.memory_bandwidth_bytes_per_s},
          {"int8_ops_per_s", node.device.int8_ops_per_s},
          {"f32_flops_per_s", node.device.f32_flops_per_s},
          {"disk_bytes_per_s", node.device.disk_bytes_per_s},
          {"format_rates", std::move(rates)},
          {"decode_correction", node.device.decode_correction},
          {"prefill_correction", node.device.prefill_correction},
          {"addresses", std::move(addresses)},
          {"peer_port", node.peer_port},
          {"api_port", node.api_port},
          {"tokens_per_s", node.tokens_per_s},
          {"leaving", node.leaving || !node.withdrawal.empty()},
          {"withdrawal", node.withdrawal},
          {"models", std::move(models)}};
}

// What a pass through the stage takes: from the device's rates, and as measured lately; absent when unknown.
void add_stage_times(json::object& stage, const wire::NodeFacts& node, const std::string& fingerprint,
                     LayerRange layers, const std::vector<wire::ModelFacts>& models) {
  for (const auto& times : node.stage_times) {
    if (times.fingerprint != fingerprint || times.layers != layers) continue;
    if (times.decode_ms > 0) stage["measured_decode_ms"] = times.decode_ms;
    if (times.prefill_ms_per_row > 0) stage["measured_prefill_ms_per_row"] = times.prefill_ms_per_row;
  }
  for (const auto& model : models) {
    if (model.fingerprint != fingerprint) continue;
    const auto predicted =
        cluster::predict_stage(model, {node.id, node.name, node.device, {}}, layers, cluster::kReferencePositions);
    if (!predicted) continue;
    stage["predicted_decode_ms"] = predicted->decode_ms;
    stage["predicted_prefill_ms_per_row"] = predicted->prefill_ms_per_row;
  }
}

// The devices that compute the stage together, the leader first.
json::array group_json(const wire::PlannedStage& stage, const cluster::Cluster& cluster) {
  json::array members;
  for (const auto& member : stage.members) {
    const auto* facts = cluster.find_member(member.node);
    members.push_back(json::object{{"node", member.node.hex()},
                                   {"node_name", facts != nullptr ? facts->name : ""},
                                   {"share", static_cast<double>(member.share) / wire::StageMember::kWholeShare}});
  }
  return members;
}

json::array stages_json(const cluster::InstanceView& view, const cluster::Cluster& cluster) {
  const auto models = cluster.models();
  json::array stages;
  for (size_t i = 0; i < view.record.stages.size(); ++i) {
    const auto& planned = view.record.stages[i];
    const auto* member = cluster.find_member(planned.node);
    json::object stage{{"node", planned.node.hex()},
                       {"node_name", member != nullptr ? member->name : ""},
                       {"layers", layers_json(planned.layers)}};
    if (!planned.members.empty()) stage["members"] = group_json(planned, cluster);
    if (member != nullptr && planned.members.empty())
      add_stage_times(stage, *member, view.record.fingerprint, planned.layers, models);
    if (i < view.statuses.size()) {
      const auto& status = view.statuses[i];
      stage["state"] = state_name(status.state);
      stage["done_bytes"] = status.done_bytes;
      stage["total_bytes"] = status.total_bytes;
      if (!status.error.empty()) stage["error"] = status.error;
    }
    stages.push_back(std::move(stage));
  }
  return stages;
}

std::string name_of(const NodeId& id, const cluster::Cluster& cluster) {
  const auto* member = cluster.find_member(id);
  return member != nullptr ? member->name : std::string();
}

// Whose weights the instance means.
json::object content_json(const cluster::InstanceView& view, const cluster::Cluster& cluster) {
  const auto pin = cluster.content(view.record.fingerprint);
  return {{"origin", pin.origin.hex()}, {"origin_name", name_of(pin.origin, cluster)}, {"root", pin.root}};
}

// Copies with the header of a model and other weights than the one that counts.
json::array differing_json(const cluster::Cluster& cluster) {
  json::array copies;
  const auto members = cluster.members();
  for (const auto& copy :
       cluster::differing_copies(members, [&](const auto& fingerprint) { return cluster.content(fingerprint); })) {
    copies.push_back(json::object{{"model", copy.model_name},
                                  {"fingerprint", copy.fingerprint},
                                  {"node", copy.node.hex()},
                                  {"node_name", name_of(copy.node, cluster)},
                                  {"origin", copy.origin.hex()},
                                  {"origin_name", name_of(copy.origin, cluster)}});
  }
  return copies;
}

// The ring that serves, and what is loading to take over from it.
json::object instance_json(const cluster::InstanceView& present, const cluster::Cluster& cluster) {
  const auto view = cluster::serving_view(present);
  json::value successor;
  if (view.record.epoch != present.record.epoch) {
    successor = json::object{{"epoch", present.record.epoch.counter}, {"stages", stages_json(present, cluster)}};
  }
  return {{"model", view.record.model_name},
          {"fingerprint", view.record.fingerprint},
          {"epoch", view.record.epoch.counter},
          {"strategy", view.record.strategy},
          {"ready", view.ready},
          {"stopped", view.record.stopped},
          {"problem", view.record.problem},
          {"context_tokens", view.record.context_tokens},
          {"content", content_json(present, cluster)},
          {"stages", stages_json(view, cluster)},
          {"successor", std::move(successor)}};
}

// Pairs of addresses that this node's link with the peer could run over, with what was measured of them.
json::array paths_json(const std::vector<net::LinkPath>& paths, const NodeId& peer) {
  json::array list;
  for (const auto& path : paths) {
    if (path.peer != peer) continue;
    json::object entry{
        {"local", path.local_address},         {"remote", path.remote_address},
        {"interface", path.interface},         {"in_use", path.in_use},
        {"round_trip_us", path.round_trip_us}, {"bandwidth_bytes_per_s", path.bandwidth_bytes_per_s}};
    if (!path.problem.empty()) entry["problem"] = path.problem;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace

json::object topology_json(const Services& services) {
  const auto& cluster = services.cluster;
  json::array nodes, links, models, instances, refusals;
  const auto paths = services.link_paths ? services.link_paths() : std::vector<net::LinkPath>();
  for (const auto& node : cluster.members()) {
    nodes.push_back(node_json(node, node.id == cluster.self().id));
    for (const auto& link : node.links) {
      links.push_back(json::object{{"from", node.id.hex()},
                                   {"to", link.peer.hex()},
                                   {"interface", link.interface},
                                   {"round_trip_us", link.round_trip_us},
                                   {"bandwidth_bytes_per_s", link.bandwidth_bytes_per_s}});
      if (node.id != cluster.self().id) continue;
      if (auto own = paths_json(paths, link.peer); !own.empty()) links.back().as_object()["paths"] = std::move(own);
    }
  }
  for (const auto& model : cluster.models()) {
    models.push_back(json::object{{"name", model.name},
                                  {"fingerprint", model.fingerprint},
                                  {"architecture", model.architecture},
                                  {"weight_type", model.weight_type},
                                  {"n_layers", model.n_layers},
                                  {"context_length", model.context_length},
                                  {"file_bytes", model.file_bytes}});
  }
  for (const auto& view : cluster.instances()) instances.push_back(instance_json(view, cluster));
  for (const auto& refusal : services.transport.refusals()) {
    refusals.push_back(
        json::object{{"address", refusal.address}, {"name", refusal.peer_name}, {"reason", refusal.reason}});
  }
  return {{"self", cluster.self().id.hex()},
          {"version", services.version},
          {"nodes", std::move(nodes)},
          {"links", std::move(links)},
          {"models", std::move(models)},
          {"instances", std::move(instances)},
          {"refusals", std::move(refusals)},
          {"differing_copies", differing_json(cluster)},
          {"active_requests", services.front.active_requests()},
          {"draft", draft_json(services)}};
}

json::value draft_json(const Services& services) {
  const auto draft = services.draft ? services.draft() : std::nullopt;
  if (!draft) return nullptr;
  json::array targets;
  for (const auto& [fingerprint, why_not] : draft->why_not) {
    const auto view = services.cluster.find_instance(fingerprint);
    if (!view || view->record.stopped) continue;
    json::object target{{"model", view->record.model_name}, {"fingerprint", fingerprint}, {"used", false}};
    serve::SchedulerStatistics::Guessed guessed;
    for (const auto& stage : services.ring.stages()) {
      if (stage.fingerprint != fingerprint || !stage.scheduler) continue;
      if (stage.has_drafter) target["used"] = true;
      guessed.drafted += stage.scheduler->of(serve::GuessSource::kDraft).drafted;
      guessed.accepted += stage.scheduler->of(serve::GuessSource::kDraft).accepted;
    }
    target["drafted_tokens"] = guessed.drafted;
    target["accepted_tokens"] = guessed.accepted;
    if (!why_not.empty()) target["why_not"] = why_not;
    targets.push_back(std::move(target));
  }
  return json::object{{"model", draft->model},
                      {"state", draft->state},
                      {"bytes", draft->bytes},
                      {"problem", draft->problem},
                      {"targets", std::move(targets)}};
}

namespace {

json::array members_json(const cluster::StageEstimate& stage) {
  json::array members;
  for (const auto& member : stage.members) {
    members.push_back(json::object{{"node", member.device.id.hex()},
                                   {"node_name", member.device.name},
                                   {"share", member.share},
                                   {"weight_bytes", member.weight_bytes},
                                   {"kv_bytes", member.kv_bytes},
                                   {"budget_bytes", member.budget_bytes}});
  }
  return members;
}

}  // namespace

json::object plan_json(const cluster::Plan& plan, const wire::ModelFacts& model) {
  json::array stages;
  for (const auto& stage : plan.stages) {
    stages.push_back(json::object{{"node", stage.device.id.hex()},
                                  {"node_name", stage.device.name},
                                  {"layers", layers_json(stage.layers)},
                                  {"weight_bytes", stage.weight_bytes},
                                  {"kv_bytes", stage.kv_bytes},
                                  {"activation_bytes", stage.activation_bytes},
                                  {"budget_bytes", stage.budget_bytes},
                                  {"disk_bytes", stage.disk_bytes},
                                  {"decode_ms", stage.decode_ms},
                                  {"prefill_ms", stage.prefill_ms},
                                  {"hop_ms", stage.hop_ms},
                                  {"exchange_ms", stage.exchange_ms},
                                  {"measured_ms", stage.measured_ms},
                                  {"predicted_for_measured_ms", stage.predicted_for_measured_ms},
                                  {"members", members_json(stage)}});
  }
  json::array alternatives;
  for (const auto& other : plan.alternatives) {
    json::object entry{{"strategy", cluster::to_string(other.strategy)}};
    if (!other.refusal.empty()) {
      entry["refusal"] = other.refusal;
    } else {
      entry["n_devices"] = other.n_devices;
      entry["ms_per_token"] = other.ms_per_token;
      entry["ttft_ms"] = other.ttft_ms;
      entry["tokens_per_s"] = other.tokens_per_s;
    }
    alternatives.push_back(std::move(entry));
  }
  return {{"model", model.name},
          {"strategy", cluster::to_string(plan.strategy)},
          {"chosen", cluster::to_string(plan.chosen)},
          {"objective", cluster::to_string(plan.objective)},
          {"context_tokens", plan.context_tokens},
          {"prompt_tokens", plan.prompt_tokens},
          {"concurrency", plan.concurrency},
          {"stages", std::move(stages)},
          {"ms_per_token", plan.ms_per_token},
          {"tokens_per_s_one", plan.tokens_per_s_one},
          {"tokens_per_s", plan.tokens_per_s},
          {"ttft_ms", plan.ttft_ms},
          {"optimal", plan.optimal},
          {"unused", json::array(plan.unused.begin(), plan.unused.end())},
          {"alternatives", std::move(alternatives)}};
}

}  // namespace exo::api
