#include "cluster/teams.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace exo::cluster {
namespace {

constexpr int32_t kUnknownParts = 16;
constexpr size_t kMostMembers = 4;  // of a stage of a hybrid ring

int32_t parts_of(const PlacementProblem& problem) {
  return problem.model.tensor_parallel_parts > 0 ? problem.model.tensor_parallel_parts : kUnknownParts;
}

// One part after the other to the member that then is least late. `most`: parts that each can hold.
std::optional<Team> share_out(const std::vector<const PlacementDevice*>& devices,
                              const std::vector<double>& whole_ms, const std::vector<int32_t>& most,
                              int32_t parts) {
  const size_t n = devices.size();
  if (n > static_cast<size_t>(parts)) return std::nullopt;
  std::vector<int32_t> counts(n, 1);
  if (std::accumulate(most.begin(), most.end(), int64_t{0}) < parts) return std::nullopt;
  if (std::any_of(most.begin(), most.end(), [](int32_t parts_held) { return parts_held < 1; })) return std::nullopt;
  for (int32_t given = static_cast<int32_t>(n); given < parts; ++given) {
    std::optional<size_t> next;
    for (size_t i = 0; i < n; ++i) {
      if (counts[i] >= most[i]) continue;
      if (!next || (counts[i] + 1) * whole_ms[i] < (counts[*next] + 1) * whole_ms[*next]) next = i;
    }
    if (!next) return std::nullopt;
    ++counts[*next];
  }
  Team team;
  for (size_t i = 0; i < n; ++i) team.push_back({devices[i], static_cast<double>(counts[i]) / parts});
  return team;
}

std::optional<Team> divide_with(const PlacementProblem& problem, std::vector<const PlacementDevice*> devices,
                                std::optional<std::pair<int32_t, int32_t>> layers) {
  std::vector<std::pair<double, const PlacementDevice*>> by_speed;
  for (const auto* device : devices) by_speed.emplace_back(problem.costs.whole_model_ms(*device), device);
  std::stable_sort(by_speed.begin(), by_speed.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<double> whole_ms;
  std::vector<int32_t> most;
  const int32_t parts = parts_of(problem);
  for (size_t i = 0; i < devices.size(); ++i) {
    devices[i] = by_speed[i].second;
    whole_ms.push_back(by_speed[i].first);
    const uint64_t usable = StageMemory::usable(devices[i]->profile.memory_budget_bytes);
    const auto holds = [&](int32_t count) {
      const TeamMember member{devices[i], static_cast<double>(count) / parts};
      return problem.costs.need(member, layers->first, layers->second) <= usable;
    };
    int32_t can_hold = 0;  // the most, by halving
    if (!layers || holds(parts)) {
      can_hold = parts;
    } else {
      for (int32_t too_many = parts; too_many - can_hold > 1;) {
        const int32_t middle = (can_hold + too_many) / 2;
        (holds(middle) ? can_hold : too_many) = middle;
      }
    }
    most.push_back(can_hold);
  }
  return share_out(devices, whole_ms, most, parts);
}

}  // namespace

std::optional<Team> divide(const PlacementProblem& problem, std::vector<const PlacementDevice*> devices,
                           int32_t begin, int32_t end) {
  return divide_with(problem, std::move(devices), std::pair(begin, end));
}

std::optional<Team> divide_by_speed(const PlacementProblem& problem, std::vector<const PlacementDevice*> devices) {
  return divide_with(problem, std::move(devices), std::nullopt);
}

std::vector<Team> promising_teams(const PlacementProblem& problem, std::span<const PlacementDevice* const> devices,
                                  size_t most) {
  const CostModel& costs = problem.costs;
  const Pass pass = costs.decode_pass();
  std::vector<double> alone_ms;
  for (const auto* device : devices) alone_ms.push_back(problem.costs.whole_model_ms(*device));
  std::vector<std::pair<double, Team>> found;  // by time relative to the members one after the other
  for (uint32_t set = 1; set < (uint32_t{1} << devices.size()); ++set) {
    const auto members = static_cast<size_t>(std::popcount(set));
    if (members < 2 || members > kMostMembers) continue;
    std::vector<const PlacementDevice*> chosen;
    double memory = 0, in_turn_ms = 0;
    for (size_t i = 0; i < devices.size(); ++i) {
      if ((set >> i & 1) == 0) continue;
      const double budget = static_cast<double>(devices[i]->profile.memory_budget_bytes);
      chosen.push_back(devices[i]);
      memory += budget;
      in_turn_ms += budget * alone_ms[i];
    }
    auto team = divide_by_speed(problem, std::move(chosen));
    if (!team || memory <= 0) continue;
    const double ms = costs.stage_ms(*team, 0, costs.n_layers(), pass) - costs.overhead_ms(*team, pass);
    const double ratio = ms * memory / in_turn_ms;
    if (ratio < 1) found.emplace_back(ratio, std::move(*team));
  }
  std::stable_sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.first < b.first; });
  if (found.size() > most) found.resize(most);
  std::vector<Team> teams;
  for (auto& [ratio, team] : found) teams.push_back(std::move(team));
  return teams;
}

}  // namespace exo::cluster
