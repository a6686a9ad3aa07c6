#include "cluster/rebalance.h"

#include <algorithm>

#include "base/log.h"
#include "cluster/instances.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

constexpr net::Duration kSettling = 3s;    // after a device came or was measured: its links have to be, too
constexpr net::Duration kLookAgain = 60s;  // measurements change
constexpr net::Duration kLongestInterval = 10min, kForgetMoves = 30min;
constexpr double kMostLatencyLost = 0.1;
constexpr double kAnswerTokens = 128;  // of a usual request, after Plan::prompt_tokens

double ratio_gain(double better, double worse) { return worse > 0 && better > 0 ? better / worse - 1 : 0; }

bool uses(const wire::InstanceRecord& record, const NodeId& node) {
  return std::ranges::any_of(record.stages, [&](const auto& stage) { return stage.share_of(node).has_value(); });
}

// The present ring as a plan that can be predicted. One with groups is taken for what its strategy makes of its
// devices.
Result<Plan> as_it_is(const wire::InstanceRecord& record, const wire::ModelFacts& model,
                      std::vector<PlacementDevice> devices, const std::vector<PlacementLink>& links,
                      PlacementRequest request) {
  const bool groups = std::ranges::any_of(record.stages, [](const auto& stage) { return !stage.members.empty(); });
  if (groups) {
    std::erase_if(devices, [&](const auto& device) { return !uses(record, device.id); });
    return place(model, devices, links, request);
  }
  request.strategy = Strategy::kManual;
  request.manual.clear();
  for (const auto& stage : record.stages)
    request.manual.push_back({stage.node.hex(), stage.layers.end.value - stage.layers.begin.value});
  return place(model, devices, links, request);
}

}  // namespace

double predicted_gain(const Plan& now, const Plan& next) {
  const double latency = ratio_gain(now.ms_per_token, next.ms_per_token);
  const double throughput = ratio_gain(next.tokens_per_s, now.tokens_per_s);
  switch (next.strategy) {
    case Strategy::kManual:
      return 0;
    case Strategy::kThroughput:
      return throughput;
    case Strategy::kRingMemoryWeighted: {
      const auto answer_ms = [](const Plan& plan) { return plan.ttft_ms + kAnswerTokens * plan.ms_per_token; };
      const bool slower = next.ms_per_token > now.ms_per_token * (1 + kMostLatencyLost);
      return slower ? 0 : std::max(throughput, ratio_gain(answer_ms(now), answer_ms(next)));
    }
    case Strategy::kAuto:
      if (next.objective == Objective::kThroughput) return throughput;
      if (next.objective == Objective::kTtft) return ratio_gain(now.ttft_ms, next.ttft_ms);
      return latency;
    default:
      return latency;
  }
}

void Instances::rebalance(Entry& entry) {
  const auto& record = entry.record;
  const net::TimePoint now = clock_.now();
  if (!is_ready(record.fingerprint, record.epoch, record.stages)) return;
  std::string signature;
  for (const auto* node : membership_.living())
    fmt::format_to(std::back_inserter(signature), "{}/{}/{}/{} ", node->id.hex(), node->incarnation,
                   node->withdrawal.empty(), node->device.memory_bandwidth_bytes_per_s > 0);
  if (signature != entry.looked_at) {
    entry.looked_at = signature;
    entry.look_again_at = now + kSettling;
  }
  const Moves& moves = moves_[record.fingerprint];
  const auto interval =
      std::min(kLongestInterval, options_.rebalance_interval * (int64_t{1} << std::min(moves.times, 16)));
  const net::TimePoint due = std::max({entry.look_again_at, entry.since + options_.rebalance_interval,
                                       moves.times > 0 ? moves.last + interval : net::TimePoint{}});
  if (now < due) return wake_at(due);
  entry.look_again_at = now + kLookAgain;
  wake_at(entry.look_again_at);

  const PlacementRequest request = request_of(record);
  if (record.strategy == to_string(Strategy::kManual)) return;
  const auto model = model_facts(record.fingerprint, &entry);
  if (!model) return;
  const Candidates from = candidates(banned(record.fingerprint));
  const auto present = as_it_is(record, *model, from.devices, from.links, request);
  const auto next = plan(*model, request);
  if (!present || !next) return;
  const bool brings_another = std::ranges::any_of(next->stages, [&](const StageEstimate& stage) {
    return std::ranges::any_of(stage.members, [&](const auto& member) { return !uses(record, member.device.id); });
  });
  const double gain = predicted_gain(*present, *next);
  if (!brings_another || gain < options_.rebalance_gain) return;
  // Without room for both rings a move is a pause; then only a ring that does nothing is moved.
  const auto serving = serving_ring(record.fingerprint);
  const bool idle = std::ranges::all_of(record.stages, [&](const auto& stage) {
    const auto* facts = membership_.find(stage.node);
    return facts != nullptr && facts->tokens_per_s == 0;
  });
  if (!idle && serving && too_tight(*model, *next, *serving)) return;
  log_info("cluster", "{}: another ring is predicted to be {:.0f} % faster", record.model_name, 100 * gain);
  Moves& made = moves_[record.fingerprint];
  made.times = now - made.last > kForgetMoves ? 1 : made.times + 1;
  made.last = now;
  propose(*model, *next, record.max_sequences);
}

}  // namespace exo::cluster
