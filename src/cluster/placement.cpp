#include "cluster/placement.h"

#include <algorithm>
#include <cmath>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

constexpr size_t kMostDevices = 1024;
constexpr int32_t kMostPrompt = 1 << 20, kMostSequences = 4096;

Result<Choice> plain(Result<Choices> choices) {
  if (!choices) return std::unexpected(std::move(choices).error());
  return Choice{std::move(*choices), true, Strategy::kSingle, {}};
}

struct StrategyEntry {
  Strategy strategy;
  std::string_view name;
  Result<Choice> (*choose)(const PlacementProblem&);
};
constexpr StrategyEntry kStrategies[] = {
    {Strategy::kRingMemoryWeighted, "ring-memory-weighted",
     [](const PlacementProblem& problem) { return plain(choose_ring_memory_weighted(problem)); }},
    {Strategy::kFastest, "fastest", choose_fastest},
    {Strategy::kThroughput, "throughput", choose_throughput},
    {Strategy::kTensorParallel, "tensor-parallel", choose_tensor_parallel},
    {Strategy::kHybrid, "hybrid", choose_hybrid},
    {Strategy::kSingle, "single", [](const PlacementProblem& problem) { return plain(choose_single(problem)); }},
    {Strategy::kManual, "manual", [](const PlacementProblem& problem) { return plain(choose_manual(problem)); }},
    {Strategy::kAuto, "auto", choose_auto},
};

constexpr std::pair<Objective, std::string_view> kObjectives[] = {
    {Objective::kLatency, "latency"}, {Objective::kThroughput, "throughput"}, {Objective::kTtft, "ttft"}};

const StrategyEntry& entry_of(Strategy strategy) {
  return *std::find_if(std::begin(kStrategies), std::end(kStrategies),
                       [strategy](const auto& entry) { return entry.strategy == strategy; });
}

Status check(const PlacementRequest& request) {
  if (request.prompt_tokens < 1 || request.prompt_tokens > kMostPrompt) {
    return fail(ErrorCode::kInvalidArgument, "placement: a prompt of {} tokens is out of range",
                request.prompt_tokens);
  }
  if (request.concurrency < 1 || request.concurrency > kMostSequences) {
    return fail(ErrorCode::kInvalidArgument, "placement: {} sequences at once are out of range",
                request.concurrency);
  }
  return {};
}

}  // namespace

Result<Strategy> parse_strategy(std::string_view name) {
  for (const auto& entry : kStrategies) {
    if (entry.name == name) return entry.strategy;
  }
  return fail(ErrorCode::kInvalidArgument, "no placement strategy '{}'; there are: {}", name, strategy_names());
}

std::string_view to_string(Strategy strategy) { return entry_of(strategy).name; }

std::string strategy_names() {
  std::vector<std::string_view> names;
  for (const auto& entry : kStrategies) names.push_back(entry.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<Objective> parse_objective(std::string_view name) {
  for (const auto& [objective, text] : kObjectives) {
    if (text == name) return objective;
  }
  return fail(ErrorCode::kInvalidArgument, "no objective '{}'; there are: latency, throughput, ttft", name);
}

std::string_view to_string(Objective objective) { return kObjectives[static_cast<size_t>(objective)].second; }

std::string human_bytes(uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  static constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

Error does_not_fit(const PlacementProblem& problem, std::string_view where, uint64_t need_bytes,
                   uint64_t have_bytes) {
  const uint64_t missing = need_bytes > have_bytes ? need_bytes - have_bytes : 0;
  const int32_t layers = problem.memory.n_layers();
  return {
      ErrorCode::kResourceExhausted,
      fmt::format("{} needs {} (weights {}, KV cache {} for a context of {}), {} {}: {} missing ({} bytes)",
                  problem.model.name, human_bytes(need_bytes), human_bytes(problem.memory.weight_bytes(0, layers)),
                  human_bytes(problem.memory.kv_bytes(0, layers)), problem.request.context_tokens, where,
                  human_bytes(have_bytes), human_bytes(missing), missing)};
}

std::vector<wire::PlannedStage> Plan::planned_stages() const {
  std::vector<wire::PlannedStage> result;
  for (const auto& stage : stages) {
    auto& planned = result.emplace_back(wire::PlannedStage{stage.device.id, stage.layers, 0, {}});
    if (stage.members.size() < 2) continue;
    double sum = 0;
    uint32_t given = 0;
    for (const auto& member : stage.members) {
      sum += member.share;
      const auto end = static_cast<uint32_t>(std::lround(std::min(sum, 1.0) * wire::StageMember::kWholeShare));
      planned.members.push_back({member.device.id, 0, end - given});
      given = end;
    }
    planned.members.back().share += wire::StageMember::kWholeShare - given;
  }
  return result;
}

Result<Choice> choose(const PlacementProblem& problem, Strategy strategy) {
  auto choice = entry_of(strategy).choose(problem);
  if (choice && strategy != Strategy::kAuto) choice->by = strategy;
  return choice;
}

Alternative alternative_of(const PlacementProblem& problem, Strategy strategy, const Result<Choice>& choice) {
  Alternative alternative{.strategy = strategy};
  if (!choice) {
    alternative.refusal = choice.error().message;
    return alternative;
  }
  const Plan plan = estimate(problem, choice->stages);
  for (const auto& stage : plan.stages) alternative.n_devices += stage.members.size();
  alternative.ms_per_token = plan.ms_per_token;
  alternative.ttft_ms = plan.ttft_ms;
  alternative.tokens_per_s = plan.tokens_per_s;
  return alternative;
}

Result<Plan> place(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                   std::span<const PlacementLink> links, const PlacementRequest& request) {
  EXO_TRY(const StageMemory memory, StageMemory::of(model, request));
  EXO_CHECK_OK(check(request));
  if (devices.empty()) return fail(ErrorCode::kResourceExhausted, "no device to place {} on", model.name);
  std::vector<PlacementDevice> sorted(devices.begin(), devices.end());
  std::sort(sorted.begin(), sorted.end(), [](const PlacementDevice& a, const PlacementDevice& b) {
    if (a.profile.memory_budget_bytes != b.profile.memory_budget_bytes) {
      return a.profile.memory_budget_bytes > b.profile.memory_budget_bytes;
    }
    return a.id > b.id;
  });
  if (sorted.size() > kMostDevices) sorted.resize(kMostDevices);
  const CostModel costs(model, sorted, links, request, memory);
  const PlacementProblem problem{model, sorted, links, request, memory, costs};
  EXO_TRY(const Choice choice, choose(problem, request.strategy));
  Plan plan = estimate(problem, choice.stages);
  plan.chosen = choice.by;
  plan.optimal = choice.optimal;
  plan.alternatives = choice.alternatives;
  if (request.compare && request.strategy != Strategy::kAuto) {
    for (const Strategy other : compared_strategies(problem)) {
      if (other != request.strategy)
        plan.alternatives.push_back(alternative_of(problem, other, choose(problem, other)));
    }
  }
  return plan;
}

}  // namespace exo::cluster
