// What chosen stages would take: bytes, time per token, first token, tokens/s of many sequences.
//
//   ms per token = sum of the stages' decode_ms and hop_ms
//   TTFT         = the prompt in chunks of kPrefillChunkRows through the stages, which work at the same time: stage
//   s
//                  begins chunk c when it has ended c-1 and chunk c has arrived; a link carries one chunk at a time
//   tokens/s     = n sequences in m micro-batches of b = n/m rows, m at least min(n, stages) and the best:
//                  n / max(one trip with b rows, m × the slowest stage or transfer with b rows)

#include <algorithm>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

void add_memory(const PlacementProblem& problem, const StageChoice& choice, StageEstimate& stage) {
  for (const auto& member : choice.team) {
    const double share = member.share;
    const auto part = [share](uint64_t bytes) {
      return share >= 1 ? bytes : static_cast<uint64_t>(static_cast<double>(bytes) * share);
    };
    StageMember m{*member.device,
                  share,
                  part(problem.memory.weight_bytes(choice.begin, choice.end)),
                  part(problem.memory.kv_bytes(choice.begin, choice.end)),
                  problem.memory.activation_bytes(choice.begin, choice.end),
                  member.device->profile.memory_budget_bytes};
    stage.weight_bytes += m.weight_bytes;
    stage.kv_bytes += m.kv_bytes;
    stage.activation_bytes += m.activation_bytes;
    stage.budget_bytes += m.budget_bytes;
    stage.members.push_back(std::move(m));
  }
  stage.disk_bytes = problem.costs.disk_bytes(choice.team, choice.begin, choice.end).value_or(0);
}

void add_measured(const PlacementProblem& problem, const StageChoice& choice, StageEstimate& stage) {
  if (choice.team.size() > 1) return;
  for (const auto& times : stage.device.stage_times) {
    if (times.fingerprint != problem.model.fingerprint || times.layers != stage.layers) continue;
    const auto predicted = predict_stage(problem.model, stage.device, stage.layers, kReferencePositions);
    stage.measured_ms = times.decode_ms;
    if (predicted) stage.predicted_for_measured_ms = predicted->decode_ms;
  }
}

double trip_ms(const CostModel& costs, const Choices& choices, double batch) {
  const Pass pass = costs.decode_pass(batch);
  double sum = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    sum += costs.stage_ms(choices[i].team, choices[i].begin, choices[i].end, pass);
    if (i + 1 < choices.size()) sum += costs.hop_ms(choices[i].team, choices[i + 1].team, batch);
  }
  return choices.size() > 1 ? sum + costs.return_ms(choices.back().team, choices.front().team) : sum;
}

double tokens_per_s(const CostModel& costs, const Choices& choices, int32_t sequences, int32_t micro_batches) {
  const double batch = static_cast<double>(sequences) / micro_batches;
  // The shared cache is as full with all sequences as decode_pass takes it for one batch of them.
  Pass pass = costs.decode_pass(sequences);
  pass.rows = pass.sequences = pass.logit_rows = batch;
  double slowest = 0, trip = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const double stage = costs.stage_ms(choices[i].team, choices[i].begin, choices[i].end, pass);
    slowest = std::max(slowest, stage);
    trip += stage;
    if (i + 1 == choices.size()) break;
    slowest = std::max(slowest, costs.transfer_ms(choices[i].team, choices[i + 1].team, batch));
    trip += costs.hop_ms(choices[i].team, choices[i + 1].team, batch);
  }
  if (choices.size() > 1) trip += costs.return_ms(choices.back().team, choices.front().team);
  return 1e3 * sequences / std::max(trip, micro_batches * slowest);
}

// With as many micro-batches as serve best.
double tokens_per_s(const CostModel& costs, const Choices& choices, int32_t sequences) {
  const auto stages = static_cast<int32_t>(choices.size());
  const int32_t least = std::min(stages, sequences);
  const int32_t most = stages == 1 ? 1 : std::min(stages * kMostMicroBatchesPerStage, sequences);
  double best = 0;
  for (int32_t n = least; n <= most; ++n) best = std::max(best, tokens_per_s(costs, choices, sequences, n));
  return best;
}

double ttft_ms(const CostModel& costs, const Choices& choices, int32_t prompt, std::vector<double>& stage_ms) {
  std::vector<double> stage_free(choices.size(), 0), link_free(choices.size(), 0);
  double now = 0;
  for (int32_t first = 0; first < prompt; first += kPrefillChunkRows) {
    const int32_t rows = std::min(kPrefillChunkRows, prompt - first);
    const Pass pass = costs.prefill_pass(rows, first, first + rows == prompt);
    now = 0;  // when the chunk is at the stage
    for (size_t i = 0; i < choices.size(); ++i) {
      const double ms = costs.stage_ms(choices[i].team, choices[i].begin, choices[i].end, pass);
      stage_ms[i] += ms;
      now = stage_free[i] = std::max(now, stage_free[i]) + ms;
      if (i + 1 == choices.size()) break;
      const double transfer = costs.transfer_ms(choices[i].team, choices[i + 1].team, rows);
      link_free[i] = std::max(now, link_free[i]) + transfer;
      now = link_free[i] + costs.hop_ms(choices[i].team, choices[i + 1].team, rows) - transfer;
    }
  }
  return choices.size() > 1 ? now + costs.return_ms(choices.back().team, choices.front().team) : now;
}

}  // namespace

Plan estimate(const PlacementProblem& problem, const Choices& choices) {
  const CostModel& costs = problem.costs;
  const auto& request = problem.request;
  Plan plan;
  plan.strategy = plan.chosen = request.strategy;
  plan.objective = request.objective;
  plan.context_tokens = request.context_tokens;
  plan.prompt_tokens = request.prompt_tokens;
  plan.concurrency = request.concurrency;
  const Pass decode = costs.decode_pass();
  std::vector<double> prefill_ms(choices.size());
  plan.ttft_ms = ttft_ms(costs, choices, request.prompt_tokens, prefill_ms);
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto& [team, begin, end] = choices[i];
    StageEstimate stage;
    stage.device = *team.front().device;
    stage.layers = {LayerIndex(begin), LayerIndex(end)};
    add_memory(problem, choices[i], stage);
    stage.decode_ms = costs.stage_ms(team, begin, end, decode);
    stage.exchange_ms = costs.exchange_ms(team, begin, end, decode);
    stage.prefill_ms = prefill_ms[i];
    add_measured(problem, choices[i], stage);
    if (choices.size() > 1) {
      stage.hop_ms = i + 1 == choices.size() ? costs.return_ms(team, choices.front().team)
                                             : costs.hop_ms(team, choices[i + 1].team, 1);
    }
    plan.slowest_stage_ms = std::max(plan.slowest_stage_ms, stage.decode_ms);
    plan.stages.push_back(std::move(stage));
  }
  plan.ms_per_token = trip_ms(costs, choices, 1);
  if (plan.ms_per_token > 0) {
    plan.tokens_per_s_one = 1e3 / plan.ms_per_token;
    plan.tokens_per_s = tokens_per_s(costs, choices, request.concurrency);
  }
  for (const auto& device : problem.devices) {
    const bool used = std::any_of(choices.begin(), choices.end(), [&](const StageChoice& choice) {
      return std::any_of(choice.team.begin(), choice.team.end(), [&](auto& m) { return m.device == &device; });
    });
    if (!used) plan.unused.push_back(device.name.empty() ? device.id.short_hex() : device.name);
  }
  return plan;
}

}  // namespace exo::cluster
