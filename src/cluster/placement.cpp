#include "cluster/placement.h"

#include <algorithm>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

struct StrategyEntry {
  Strategy strategy;
  std::string_view name;
  Result<Choices> (*choose)(const PlacementProblem&);
};
constexpr StrategyEntry kStrategies[] = {
    {Strategy::kRingMemoryWeighted, "ring-memory-weighted", choose_ring_memory_weighted},
    {Strategy::kSingle, "single", choose_single},
    {Strategy::kManual, "manual", choose_manual},
};

}  // namespace

Result<Strategy> parse_strategy(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& entry : kStrategies) {
    if (entry.name == name) return entry.strategy;
    names.push_back(entry.name);
  }
  return fail(ErrorCode::kInvalidArgument, "no placement strategy '{}'; there are: {}", name,
              fmt::join(names, ", "));
}

std::string_view to_string(Strategy strategy) {
  for (const auto& entry : kStrategies) {
    if (entry.strategy == strategy) return entry.name;
  }
  return "unknown";
}

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
  for (const auto& stage : stages) result.push_back({stage.device.id, stage.layers});
  return result;
}

Result<Plan> place(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                   std::span<const PlacementLink> links, const PlacementRequest& request) {
  EXO_TRY(const StageMemory memory, StageMemory::of(model, request));
  if (devices.empty()) return fail(ErrorCode::kResourceExhausted, "no device to place {} on", model.name);
  std::vector<PlacementDevice> sorted(devices.begin(), devices.end());
  std::sort(sorted.begin(), sorted.end(), [](const PlacementDevice& a, const PlacementDevice& b) {
    if (a.profile.memory_budget_bytes != b.profile.memory_budget_bytes) {
      return a.profile.memory_budget_bytes > b.profile.memory_budget_bytes;
    }
    return a.id > b.id;
  });
  const PlacementProblem problem{model, sorted, links, request, memory};
  for (const auto& entry : kStrategies) {
    if (entry.strategy != request.strategy) continue;
    EXO_TRY(const Choices choices, entry.choose(problem));
    return estimate(problem, choices);
  }
  return fail(ErrorCode::kInvalidArgument, "unknown placement strategy");
}

}  // namespace exo::cluster
