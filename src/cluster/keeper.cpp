// The keeper's half of Instances: what is wrong with an epoch, and what comes next.

#include <algorithm>
#include <cmath>

#include "base/log.h"
#include "cluster/instances.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

constexpr net::Duration kDeathPatience = 50ms;  // deaths that come together are answered together
constexpr net::Duration kLinkPatience = 1s;     // a link between two living stages may come back
constexpr net::Duration kStallDeadline = 60s;   // loading without progress
constexpr net::Duration kRetryInterval = 10s;   // of a vain placement when nothing that matters has changed
constexpr net::Duration kFirstBan = 5s, kLongestBan = 5min;

std::string name_of(const Membership& membership, const NodeId& id) {
  const auto* facts = membership.find_known(id);
  return facts == nullptr || facts->name.empty() ? id.short_hex() : facts->name;
}

}  // namespace

// ---- failures

// A device that could not load is left out for a while, longer each time.
void Instances::ban(const Entry& entry, const NodeId& node, const std::string& error) {
  Ban& entry_ban = bans_[{entry.record.fingerprint, node}];
  if (entry_ban.times > 0 && entry_ban.epoch == entry.record.epoch) return;
  entry_ban.epoch = entry.record.epoch;
  entry_ban.error = error.substr(0, 300);
  entry_ban.until = clock_.now() + std::min(kLongestBan, kFirstBan * (int64_t{1} << std::min(entry_ban.times, 10)));
  ++entry_ban.times;
  wake_at(entry_ban.until);
}

void Instances::note_failures(Entry& entry) {
  bool ready = !entry.record.stages.empty();
  const auto members = participants(entry.record.stages);
  for (const auto& member : members) {
    const auto* status = status_of(entry.record.fingerprint, entry.record.epoch, member.node);
    ready = ready && status != nullptr && status->state == wire::StageState::kReady;
    if (status != nullptr && status->state == wire::StageState::kFailed) ban(entry, member.node, status->error);
  }
  if (!ready) return;
  for (const auto& member : members) bans_.erase({entry.record.fingerprint, member.node});
}

std::set<NodeId> Instances::banned(const std::string& fingerprint) const {
  std::set<NodeId> result;
  for (auto at = bans_.lower_bound({fingerprint, NodeId{}}); at != bans_.end() && at->first.first == fingerprint;
       ++at) {
    if (at->second.until > clock_.now()) result.insert(at->first.second);
  }
  return result;
}

std::optional<Instances::Fault> Instances::find_fault(Entry& entry) {
  const net::TimePoint now = clock_.now();
  for (const auto& member : participants(entry.record.stages)) {
    const std::string name = name_of(membership_, member.node);
    if (!membership_.is_alive(member.node)) return Fault{name + " is gone", kDeathPatience};
    if (!is_valid(member)) return Fault{name + " has restarted", kDeathPatience};
    const auto* status = status_of(entry.record.fingerprint, entry.record.epoch, member.node);
    if (status != nullptr && status->state == wire::StageState::kReady) continue;
    if (status != nullptr && status->state == wire::StageState::kFailed) {
      return Fault{fmt::format("{} could not load: {}", name, status->error), net::Duration(0)};
    }
    auto& [bytes, when] = entry.progress.try_emplace(member.node, 0, entry.since).first->second;
    if (status != nullptr && status->done_bytes != bytes) {  // a later part of loading counts from 0 again
      bytes = status->done_bytes;
      when = now;
    }
    if (now - when > kStallDeadline || now - entry.since > options_.ready_deadline) {
      ban(entry, member.node, "loading made no progress");
      return Fault{name + " makes no progress in loading", net::Duration(0)};
    }
    wake_at(when + kStallDeadline + 1ms);
  }
  if (auto fault = find_missing_link(entry.record)) return fault;
  if (entry.conflict) return Fault{"two records of one epoch", kDeathPatience};
  return std::nullopt;
}

// Neighbours in the ring talk to each other, and so do all members of a group.
std::optional<Instances::Fault> Instances::find_missing_link(const wire::InstanceRecord& record) const {
  const auto missing = [&](const NodeId& a, const NodeId& b) -> std::optional<Fault> {
    if (membership_.is_linked(a, b)) return std::nullopt;
    return Fault{fmt::format("no link between {} and {}", name_of(membership_, a), name_of(membership_, b)),
                 kLinkPatience};
  };
  for (size_t i = 0; i < record.stages.size(); ++i) {
    const auto& stage = record.stages[i];
    if (auto fault = missing(stage.node, record.stages[(i + 1) % record.stages.size()].node)) return fault;
    for (auto a = stage.members.begin(); a != stage.members.end(); ++a) {
      for (auto b = a + 1; b != stage.members.end(); ++b) {
        if (auto fault = missing(a->node, b->node)) return fault;
      }
    }
  }
  return std::nullopt;
}

// ---- duties

void Instances::keep(Entry& entry) {
  if (keeper_of(entry) != membership_.self().id) {
    entry.broken_since.reset();
    return;
  }
  const net::TimePoint now = clock_.now();
  if (now < membership_.distrust_self_until()) return wake_at(membership_.distrust_self_until());
  if (entry.record.stages.empty()) return retry(entry);
  const auto fault = find_fault(entry);
  if (!fault) {
    entry.broken_since.reset();
    return improve(entry);
  }
  if (!entry.broken_since) entry.broken_since = now;
  const net::TimePoint act = *entry.broken_since + fault->patience;
  if (now < act) return wake_at(act);
  replace(entry, fault->why);
}

void Instances::replace(Entry& entry, const std::string& why) {
  log_info("cluster", "{}: epoch {} ends: {}", entry.record.model_name, entry.record.epoch.counter, why);
  const auto model = model_facts(entry.record.fingerprint, &entry);
  if (!model) return propose_problem(entry, fmt::format("{}; {}", why, model.error().message));
  const auto chosen = plan_anew(entry, *model);
  if (chosen) return propose(*model, *chosen, entry.record.max_sequences);
  propose_problem(entry, fmt::format("{}; {}", why, chosen.error().message));
  entry.tried = cluster_signature(entry.record.fingerprint);
  entry.tried_at = clock_.now();
}

void Instances::retry(Entry& entry) {
  const std::string signature = cluster_signature(entry.record.fingerprint);
  for (const auto& [key, value] : bans_) {
    if (key.first == entry.record.fingerprint && value.until > clock_.now()) wake_at(value.until);
  }
  const bool changed = entry.tried != signature;
  if (!changed && clock_.now() - entry.tried_at < kRetryInterval) return;
  const auto model = model_facts(entry.record.fingerprint, &entry);
  const auto chosen = model ? plan_anew(entry, *model) : std::unexpected(model.error());
  if (chosen) return propose(*model, *chosen, entry.record.max_sequences);
  if (changed) propose_problem(entry, chosen.error().message);
  entry.tried = signature;
  entry.tried_at = clock_.now();
}

// ---- planning

// What a vain attempt depends on; small drifts of memory budgets are no reason for another.
std::string Instances::cluster_signature(const std::string& fingerprint) const {
  std::string text;
  for (const auto* node : membership_.living()) {
    const double budget = static_cast<double>(node->device.memory_budget_bytes) + 1;
    const auto offer = std::find_if(node->models.begin(), node->models.end(),
                                    [&](const auto& o) { return o.facts.fingerprint == fingerprint; });
    const int has = offer == node->models.end() ? 0 : offer->complete ? 2 : 1;
    size_t links = 0;
    for (const auto& link : node->links) links ^= std::hash<NodeId>()(link.peer);
    fmt::format_to(std::back_inserter(text), "{}/{}/{}/{:x}/{}{} ", node->id.hex(), node->incarnation,
                   static_cast<int>(16 * std::log2(budget)), links, has, node->withdrawal.empty() ? "" : "/leaves");
  }
  for (const NodeId& id : banned(fingerprint)) text += "-" + id.hex();
  return text;
}

PlacementRequest Instances::request_of(const wire::InstanceRecord& record, Leavers leavers) const {
  PlacementRequest request = options_.placement;
  request.strategy = parse_strategy(record.strategy).value_or(Strategy::kRingMemoryWeighted);
  // A manual plan named devices that are no longer all there.
  if (request.strategy == Strategy::kManual) request.strategy = Strategy::kRingMemoryWeighted;
  request.objective = parse_objective(record.objective).value_or(request.objective);
  request.context_tokens = record.context_tokens;
  request.max_sequences = record.max_sequences;
  const std::set<NodeId> out = banned(record.fingerprint);
  const auto here = static_cast<int32_t>(std::ranges::count_if(membership_.living(), [&](const auto* node) {
    return (leavers == Leavers::kIn || node->withdrawal.empty()) && !out.contains(node->id);
  }));
  request.min_stages =
      request.strategy == Strategy::kSingle ? 1 : std::clamp(here, 1, std::max(request.min_stages, 1));
  return request;
}

Result<wire::ModelFacts> Instances::model_facts(const std::string& fingerprint, const Entry* entry) const {
  for (const auto* node : membership_.living()) {
    for (const auto& offer : node->models) {
      if (offer.facts.fingerprint == fingerprint) return offer.facts;
    }
  }
  if (entry != nullptr && entry->model) return *entry->model;
  return fail(ErrorCode::kNotFound, "no device here has the model {}", fingerprint);
}

Status Instances::check_weights_available(const wire::ModelFacts& model) const {
  std::vector<bool> held(static_cast<size_t>(std::max(model.n_layers, 0)));
  for (const auto* node : membership_.living()) {
    for (const auto& offer : node->models) {
      if (offer.complete && offer.facts.fingerprint == model.fingerprint) return {};
    }
    for (const auto& status : node->stages) {
      if (status.fingerprint != model.fingerprint || status.state != wire::StageState::kReady) continue;
      for (auto i = static_cast<size_t>(status.layers.begin.value);
           i < std::min(held.size(), static_cast<size_t>(status.layers.end.value)); ++i) {
        held[i] = true;
      }
    }
  }
  const auto lost = std::find(held.begin(), held.end(), false);
  if (lost == held.end() && !held.empty()) return {};
  return fail(ErrorCode::kUnavailable, "layer {} of {} ({} bytes in all) is on no device here", lost - held.begin(),
              model.name, model.file_bytes);
}

Instances::Candidates Instances::candidates(const std::set<NodeId>& out, Leavers leavers) const {
  std::vector<const wire::NodeFacts*> nodes;
  for (const auto* node : membership_.living()) {
    const bool may = leavers == Leavers::kIn || node->withdrawal.empty();
    if (may && !out.contains(node->id)) nodes.push_back(node);
  }
  // A ring hops directly: its devices must all be linked with each other. Best connected first, then by memory.
  std::stable_sort(nodes.begin(), nodes.end(), [](const auto* a, const auto* b) {
    return std::pair(a->links.size(), a->device.memory_budget_bytes) >
           std::pair(b->links.size(), b->device.memory_budget_bytes);
  });
  Candidates result;
  std::vector<const wire::NodeFacts*> ring;
  for (const auto* node : nodes) {
    const bool linked = std::all_of(ring.begin(), ring.end(),
                                    [&](const auto* other) { return membership_.is_linked(node->id, other->id); });
    if (!linked) continue;
    ring.push_back(node);
    result.devices.push_back({node->id, node->name, node->device, node->stage_times});
    for (const auto& link : node->links) {
      if (node->id < link.peer)
        result.links.push_back({node->id, link.peer, link.round_trip_us * 1e-6, link.bandwidth_bytes_per_s});
    }
  }
  return result;
}

Result<Plan> Instances::plan(const wire::ModelFacts& model, const PlacementRequest& request,
                             Leavers leavers) const {
  EXO_CHECK_OK(check_weights_available(model));
  const std::set<NodeId> out = banned(model.fingerprint);
  const Candidates from = candidates(out, leavers);
  auto chosen = place(model, from.devices, from.links, request);
  if (chosen) return chosen;
  Error error = std::move(chosen).error();
  for (const NodeId& id : out) {
    const auto found = bans_.find({model.fingerprint, id});
    error.message += fmt::format("; {} is left out: {}", name_of(membership_, id), found->second.error);
  }
  for (const auto* node : membership_.living()) {
    if (!node->withdrawal.empty())
      error.message += fmt::format("; {} takes no part: {}", name_of(membership_, node->id), node->withdrawal);
  }
  return std::unexpected(std::move(error));
}

Result<Plan> Instances::plan_anew(const Entry& entry, const wire::ModelFacts& model) const {
  auto without = plan(model, request_of(entry.record));
  if (without) return without;
  auto with = plan(model, request_of(entry.record, Leavers::kIn), Leavers::kIn);
  return with ? with : without;
}

std::vector<wire::ModelFacts> Instances::models() const {
  std::map<std::string, wire::ModelFacts> found;
  for (const auto* node : membership_.living()) {
    for (const auto& offer : node->models) found.try_emplace(offer.facts.fingerprint, offer.facts);
  }
  std::vector<wire::ModelFacts> result;
  for (const auto& [fingerprint, facts] : found) {
    if (check_weights_available(facts)) result.push_back(facts);
  }
  std::stable_sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return result;
}

}  // namespace exo::cluster
