// As `fastest`, with stages that may be tensor-parallel groups: the search over single devices and the groups that
// look worth it, beside the best ring without groups and the best single group.

#include <algorithm>

#include "cluster/ring_search.h"
#include "cluster/teams.h"

namespace exo::cluster {
namespace {

using Devices = std::vector<const PlacementDevice*>;

// Devices for which the exhaustive hybrid search is done: the fastest, but enough memory among them.
Devices most_promising(const PlacementProblem& problem) {
  Devices devices;
  for (const auto& device : problem.devices) devices.push_back(&device);
  if (devices.size() <= kExactDevices) return devices;
  std::stable_sort(devices.begin(), devices.end(), [&](const auto* a, const auto* b) {
    const double left = static_cast<double>(a->profile.memory_budget_bytes) / whole_model_ms(problem, *a);
    const double right = static_cast<double>(b->profile.memory_budget_bytes) / whole_model_ms(problem, *b);
    return left > right;
  });
  devices.resize(kExactDevices);
  return devices;
}

constexpr size_t kMostTeams = 20;

}  // namespace

Result<Choice> choose_hybrid(const PlacementProblem& problem) {
  auto fastest = choose_fastest(problem);
  if (problem.model.tensor_parallel_parts == 1) return fastest;
  const Pass pass = problem.costs.decode_pass();
  const Devices devices = most_promising(problem);
  std::vector<Team> teams;
  for (const auto* device : devices) teams.push_back({{device, 1.0}});
  for (auto& team : promising_teams(problem, devices, kMostTeams)) teams.push_back(std::move(team));
  const SearchSpace space = make_search_space(problem, std::move(teams), pass);
  auto ring = search_ring(space, Minimise::kSum);
  std::vector<Choice> found;
  if (fastest) found.push_back(std::move(*fastest));
  if (ring) found.push_back({choices_of(space, *ring), false, Strategy::kHybrid, {}});
  if (auto group = choose_tensor_parallel(problem)) found.push_back(std::move(*group));
  if (found.empty()) return std::unexpected(ring_refusal(problem));
  auto best = std::move(found.front());
  double best_ms = estimate(problem, best.stages).ms_per_token;
  for (size_t i = 1; i < found.size(); ++i) {
    const double ms = estimate(problem, found[i].stages).ms_per_token;
    if (ms >= best_ms) continue;
    best = std::move(found[i]);
    best_ms = ms;
  }
  best.optimal = false;
  return best;
}

}  // namespace exo::cluster
