// One stage whose layers are divided over a group of devices: the group with the least time per token.

#include <algorithm>
#include <bit>
#include <optional>

#include "cluster/ring_search.h"
#include "cluster/teams.h"

namespace exo::cluster {
namespace {

using Devices = std::vector<const PlacementDevice*>;

class BestGroup {
 public:
  explicit BestGroup(const PlacementProblem& problem)
      : problem_(problem), layers_(problem.costs.n_layers()), pass_(problem.costs.decode_pass()) {}

  // True when it is the best so far.
  bool consider(const Devices& devices) {
    if (devices.size() < static_cast<size_t>(std::max(problem_.request.min_stages, 2))) return false;
    auto team = divide(problem_, devices, 0, layers_);
    if (!team) return false;
    const double ms = problem_.costs.stage_ms(*team, 0, layers_, pass_);
    if (team_ && ms >= ms_) return false;
    team_ = std::move(team);
    ms_ = ms;
    return true;
  }
  const std::optional<Team>& team() const { return team_; }

 private:
  const PlacementProblem& problem_;
  const int32_t layers_;
  const Pass pass_;
  std::optional<Team> team_;
  double ms_ = 0;
};

void consider_all(const Devices& devices, BestGroup& best) {
  for (uint32_t set = 1; set < (uint32_t{1} << devices.size()); ++set) {
    Devices chosen;
    for (size_t i = 0; i < devices.size(); ++i) {
      if ((set >> i & 1) != 0) chosen.push_back(devices[i]);
    }
    best.consider(chosen);
  }
}

// For many devices: the fastest n, the largest n, and single exchanges as long as they help.
void consider_some(const PlacementProblem& problem, Devices devices, BestGroup& best) {
  for (const bool by_speed : {true, false}) {
    std::stable_sort(devices.begin(), devices.end(), [&](const auto* a, const auto* b) {
      if (!by_speed) return a->profile.memory_budget_bytes > b->profile.memory_budget_bytes;
      return problem.costs.whole_model_ms(*a) < problem.costs.whole_model_ms(*b);
    });
    for (size_t n = 2; n <= devices.size(); ++n)
      best.consider({devices.begin(), devices.begin() + static_cast<std::ptrdiff_t>(n)});
  }
  for (int round = 0; round < 3 && best.team(); ++round) {
    bool helped = false;
    for (const auto* device : devices) {
      Devices group;
      for (const auto& member : *best.team()) group.push_back(member.device);
      const auto found = std::find(group.begin(), group.end(), device);
      if (found != group.end()) {
        group.erase(found);
        helped |= best.consider(group);
        continue;
      }
      group.push_back(device);
      helped |= best.consider(group);
      for (size_t i = 0; i + 1 < group.size(); ++i) {
        Devices swapped = group;
        swapped.erase(swapped.begin() + static_cast<std::ptrdiff_t>(i));
        helped |= best.consider(swapped);
      }
    }
    if (!helped) break;
  }
}

}  // namespace

Result<Choice> choose_tensor_parallel(const PlacementProblem& problem) {
  if (problem.devices.size() == 1 && problem.request.min_stages <= 1) {  // alone, or all that a group has left
    return choose(problem, Strategy::kSingle);
  }
  if (problem.model.tensor_parallel_parts == 1) {
    return fail(ErrorCode::kInvalidArgument, "{}: a {} model's layers cannot be divided over devices",
                problem.model.name, problem.model.architecture);
  }
  BestGroup best(problem);
  Devices devices;
  for (const auto& device : problem.devices) devices.push_back(&device);
  if (devices.size() <= kExactDevices)
    consider_all(devices, best);
  else
    consider_some(problem, devices, best);
  if (!best.team()) return std::unexpected(ring_refusal(problem));
  Choice choice;
  choice.stages.emplace_back(*best.team(), 0, problem.costs.n_layers());
  choice.optimal = devices.size() <= kExactDevices;
  return choice;
}

}  // namespace exo::cluster
