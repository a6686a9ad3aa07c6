// As `fastest`, with stages that may be tensor-parallel groups: the search over single devices and the groups that
// look worth it, beside the best ring without groups and the best single group.

#include <algorithm>
#include <optional>

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
    const double left = static_cast<double>(a->profile.memory_budget_bytes) / problem.costs.whole_model_ms(*a);
    const double right = static_cast<double>(b->profile.memory_budget_bytes) / problem.costs.whole_model_ms(*b);
    return left > right;
  });
  devices.resize(kExactDevices);
  return devices;
}

constexpr size_t kMostTeams = 20;

// nullopt: no groups are worth it, or none fits.
std::optional<Choice> ring_with_groups(const PlacementProblem& problem) {
  const Devices devices = most_promising(problem);
  std::vector<Team> groups = promising_teams(problem, devices, kMostTeams);
  if (groups.empty()) return std::nullopt;
  std::vector<Team> teams;
  for (const auto* device : devices) teams.push_back({{device, 1.0}});
  for (auto& team : groups) teams.push_back(std::move(team));
  const SearchSpace space = make_search_space(problem, std::move(teams), problem.costs.decode_pass());
  const auto ring = search_ring(space, Minimise::kSum);
  if (!ring) return std::nullopt;
  return Choice{choices_of(space, *ring), false, Strategy::kHybrid, {}};
}

}  // namespace

Result<Choice> choose_hybrid(const PlacementProblem& problem) {
  const auto fastest = choose_fastest(problem);
  return problem.model.tensor_parallel_parts == 1
             ? fastest
             : choose_hybrid(problem, fastest, choose_tensor_parallel(problem));
}

Result<Choice> choose_hybrid(const PlacementProblem& problem, const Result<Choice>& fastest,
                             const Result<Choice>& group) {
  std::vector<Choice> found;
  if (fastest) found.push_back(*fastest);
  if (auto ring = ring_with_groups(problem)) found.push_back(std::move(*ring));
  if (group) found.push_back(*group);
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
