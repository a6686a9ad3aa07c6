// As asked: devices by name or (prefix of) id, with their layer counts, in this order.

#include <algorithm>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

Result<const PlacementDevice*> find_device(const PlacementProblem& problem, const std::string& wanted) {
  const PlacementDevice* found = nullptr;
  for (const bool by_name : {true, false}) {
    for (const auto& device : problem.devices) {
      const bool match = by_name ? device.name == wanted : !wanted.empty() && device.id.hex().starts_with(wanted);
      if (!match) continue;
      if (found != nullptr) {
        return fail(ErrorCode::kInvalidArgument, "manual placement: '{}' is more than one device; give its id",
                    wanted);
      }
      found = &device;
    }
    if (found != nullptr) return found;
  }
  std::vector<std::string> names;
  for (const auto& device : problem.devices)
    names.push_back(device.name.empty() ? device.id.short_hex() : device.name);
  std::sort(names.begin(), names.end());
  return fail(ErrorCode::kInvalidArgument, "manual placement: no device '{}'; there are: {}", wanted,
              fmt::join(names, ", "));
}

}  // namespace

Result<Choices> choose_manual(const PlacementProblem& problem) {
  const int32_t layers = problem.memory.n_layers();
  Choices choices;
  int64_t begin = 0;
  for (const auto& stage : problem.request.manual) {
    EXO_TRY(const PlacementDevice* device, find_device(problem, stage.node));
    if (stage.n_layers < 1) {
      return fail(ErrorCode::kInvalidArgument, "manual placement: {} layers on '{}'", stage.n_layers, stage.node);
    }
    const bool again =
        std::any_of(choices.begin(), choices.end(), [&](const auto& c) { return c.team.front().device == device; });
    if (again) return fail(ErrorCode::kInvalidArgument, "manual placement: '{}' is named twice", stage.node);
    const int64_t end = begin + stage.n_layers;
    if (end > layers) break;
    choices.emplace_back(device, static_cast<int32_t>(begin), static_cast<int32_t>(end));
    begin = end;
  }
  if (begin != layers || choices.size() != problem.request.manual.size()) {
    int64_t sum = 0;
    for (const auto& stage : problem.request.manual) sum += stage.n_layers;
    return fail(ErrorCode::kInvalidArgument, "manual placement: {} layers in all, but {} has {}", sum,
                problem.model.name, layers);
  }
  for (const auto& choice : choices) {
    const PlacementDevice& device = *choice.team.front().device;
    const uint64_t budget = device.profile.memory_budget_bytes;
    if (problem.costs.fits(choice.team, choice.begin, choice.end)) continue;
    const uint64_t need = problem.memory.need(choice.begin, choice.end), have = StageMemory::usable(budget);
    return fail(ErrorCode::kResourceExhausted,
                "manual placement: layers {}-{} need {}, {} offers {}: {} missing ({} bytes)", choice.begin,
                choice.end - 1, human_bytes(need), device.name, human_bytes(have), human_bytes(need - have),
                need - have);
  }
  return choices;
}

}  // namespace exo::cluster
