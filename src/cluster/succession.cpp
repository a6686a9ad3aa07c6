// Instances' part in moving a ring that works: which ring serves while its successor loads, whether there is room
// for both, and who has to go.

#include <algorithm>

#include "base/log.h"
#include "cluster/instances.h"
#include "cluster/stage_memory.h"
#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

constexpr net::Duration kRetryInterval = std::chrono::seconds(10);  // of a vain search for a ring without a device

}  // namespace

wire::InstanceRecord previous_record(const wire::InstanceRecord& record) {
  wire::InstanceRecord previous = record;
  previous.epoch = record.previous->epoch;
  previous.stages = record.previous->stages;
  previous.context_tokens = record.previous->context_tokens;
  previous.max_sequences = record.previous->max_sequences;
  previous.previous.reset();
  return previous;
}

InstanceView serving_view(const InstanceView& view) {
  if (view.ready || !view.previous_ready) return view;
  InstanceView serving;
  serving.record = previous_record(view.record);
  serving.ready = true;
  serving.own_stage = view.own_previous_stage;
  for (const auto& stage : serving.record.stages)
    serving.statuses.push_back(
        {view.record.fingerprint, serving.record.epoch, stage.layers, wire::StageState::kReady, 0, 0, {}});
  return serving;
}

// A ring that cannot serve any more is not waited for, and its first stage's node says when nobody uses it.
bool Instances::previous_is_over(const wire::InstanceRecord& record) const {
  if (!record.previous || record.previous->stages.empty()) return true;
  const auto& stages = record.previous->stages;
  const auto* first = status_of(record.fingerprint, record.previous->epoch, stages.front().node);
  return first == nullptr || first->state != wire::StageState::kReady ||
         !std::ranges::all_of(participants(stages), [this](const auto& member) { return is_valid(member); });
}

std::optional<wire::PlannedRing> Instances::serving_ring(const std::string& fingerprint) const {
  const auto found = entries_.find(fingerprint);
  if (found == entries_.end() || found->second.record.stopped) return std::nullopt;
  const auto& record = found->second.record;
  if (is_ready(fingerprint, record.epoch, record.stages))
    return wire::PlannedRing{record.epoch, record.stages, record.context_tokens, record.max_sequences};
  if (record.previous && is_ready(fingerprint, record.previous->epoch, record.previous->stages))
    return record.previous;
  return std::nullopt;
}

std::optional<std::string> Instances::too_tight(const wire::ModelFacts& model, const Plan& next,
                                                const wire::PlannedRing& now) const {
  PlacementRequest request = options_.placement;
  request.context_tokens = now.context_tokens;
  request.max_sequences = now.max_sequences;
  const auto memory = StageMemory::of(model, request);
  if (!memory) return memory.error().message;
  for (const auto& old : now.stages) {
    const int32_t begin = old.layers.begin.value, end = old.layers.end.value;
    if (end > memory->n_layers()) return std::string("the model has changed");
    for (const auto& stage : next.stages) {
      for (const auto& member : stage.members) {
        const auto was = old.share_of(member.device.id);
        if (!was) continue;
        const bool whole = *was == 1 && member.share == 1;
        // Weights that both read are there once.
        const int32_t from = std::max(begin, stage.layers.begin.value), to = std::min(end, stage.layers.end.value);
        const uint64_t shared = whole && from < to ? memory->weight_bytes(from, to) : 0;
        const auto present = static_cast<uint64_t>(*was * static_cast<double>(memory->need(begin, end)));
        const uint64_t need = member.weight_bytes + member.kv_bytes + member.activation_bytes + present -
                              std::min(shared, member.weight_bytes);
        const uint64_t have = StageMemory::usable(member.budget_bytes);
        if (need > have)
          return fmt::format("{} has {} for both, which take {}", member.device.name, human_bytes(have),
                             human_bytes(need));
      }
    }
  }
  return std::nullopt;
}

void Instances::retire_previous(const std::string& fingerprint) {
  const auto found = entries_.find(fingerprint);
  if (found != entries_.end() && found->second.record.previous)
    drop_stage(fingerprint, found->second.record.previous->epoch);
}

// ---- why a ring that works is left

// Nothing is broken. But a device may want to leave, or another one make the ring faster.
void Instances::improve(Entry& entry) {
  for (const auto& member : participants(entry.record.stages)) {
    const auto* facts = membership_.find(member.node);
    if (facts != nullptr && !facts->withdrawal.empty()) return relieve(entry, *facts);
  }
  if (options_.rebalance) rebalance(entry);
}

void Instances::relieve(Entry& entry, const wire::NodeFacts& leaving) {
  const net::TimePoint now = clock_.now();
  const std::string signature = cluster_signature(entry.record.fingerprint);
  if (entry.tried == signature && now - entry.tried_at < kRetryInterval)
    return wake_at(entry.tried_at + kRetryInterval);
  const auto model = model_facts(entry.record.fingerprint, &entry);
  const auto chosen = model ? plan(*model, request_of(entry.record)) : std::unexpected(model.error());
  const std::string name = leaving.name.empty() ? leaving.id.short_hex() : leaving.name;
  log_info("cluster", "{}: {} wants to leave ({}){}", entry.record.model_name, name, leaving.withdrawal,
           chosen ? "" : ": " + chosen.error().message);
  if (chosen) return propose(*model, *chosen, entry.record.max_sequences);
  entry.tried = signature;
  entry.tried_at = now;
  wake_at(now + kRetryInterval);
}

std::vector<StageHold> Instances::holds() const {
  std::vector<StageHold> result;
  for (const auto& [fingerprint, epoch] : loaded_) {
    const Entry& entry = entries_.at(fingerprint);
    StageHold hold{fingerprint, entry.record.model_name, {}};
    const auto model = model_facts(fingerprint, &entry);
    const auto next = epoch != entry.record.epoch ? Result<Plan>()
                      : model                     ? plan(*model, request_of(entry.record))
                                                  : std::unexpected(model.error());
    if (!next) hold.problem = next.error().message;
    result.push_back(std::move(hold));
  }
  return result;
}

}  // namespace exo::cluster
