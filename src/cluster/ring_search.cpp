#include "cluster/ring_search.h"

#include <algorithm>
#include <limits>
#include <map>

namespace exo::cluster {
namespace {

SearchUnit make_unit(const PlacementProblem& problem, Team team, const Pass& pass, bool from_disk) {
  const CostModel& costs = problem.costs;
  const int32_t layers = costs.n_layers();
  SearchUnit unit;
  unit.until.assign(static_cast<size_t>(layers) + 1, 0);
  const auto times = costs.layers_ms(team, pass);
  for (size_t i = 0; i < times.size(); ++i) unit.until[i + 1] = unit.until[i] + times[i];
  unit.overhead = costs.overhead_ms(team, pass);
  unit.head = costs.head_ms(team, pass);
  const auto fits = [&](int32_t begin, int32_t end) {
    const auto disk = costs.disk_bytes(team, begin, end);
    return disk.has_value() && (from_disk || *disk == 0);
  };
  unit.earliest.assign(static_cast<size_t>(layers) + 1, 0);
  int32_t begin = 1;
  for (int32_t end = 1; end <= layers; ++end) {
    begin = std::min(std::max(begin, 1), end);
    while (begin < end && !fits(begin, end)) ++begin;
    unit.earliest[static_cast<size_t>(end)] = begin;
  }
  while (unit.first_end < layers && fits(0, unit.first_end + 1)) ++unit.first_end;
  // The logits of the last stage can make [0, layers) fit less than its beginning, but never the other way round.
  unit.team = std::move(team);
  return unit;
}

bool holds_a_layer(const SearchUnit& unit) {
  if (unit.first_end > 0) return true;
  for (size_t end = 1; end < unit.earliest.size(); ++end) {
    if (unit.earliest[end] < static_cast<int32_t>(end)) return true;
  }
  return false;
}

}  // namespace

std::vector<Team> single_teams(const PlacementProblem& problem) {
  std::vector<Team> teams;
  for (const auto& device : problem.devices) teams.push_back({{&device, 1.0}});
  return teams;
}

SearchSpace make_search_space(const PlacementProblem& problem, std::vector<Team> teams, const Pass& pass,
                              bool from_disk) {
  SearchSpace space;
  space.costs = &problem.costs;
  space.from_disk = from_disk;
  space.n_layers = problem.costs.n_layers();
  space.min_devices = std::max(problem.request.min_stages, 1);
  std::map<const PlacementDevice*, size_t> numbers;
  for (auto& team : teams) {
    SearchUnit unit = make_unit(problem, std::move(team), pass, from_disk);
    if (!holds_a_layer(unit)) continue;
    for (const auto& member : unit.team) {
      const size_t number = numbers.try_emplace(member.device, numbers.size()).first->second;
      unit.devices.push_back(number);
      if (number < 32) unit.set |= uint32_t{1} << number;
    }
    space.units.push_back(std::move(unit));
  }
  space.n_devices = numbers.size();
  const size_t n = space.units.size();
  space.hop.resize(n * n);
  space.transfer.resize(n * n);
  space.back.resize(n * n);
  for (size_t a = 0; a < n; ++a) {
    for (size_t b = 0; b < n; ++b) {
      if (a == b) continue;
      const Team &from = space.units[a].team, &to = space.units[b].team;
      space.transfer[a * n + b] = problem.costs.transfer_ms(from, to, pass.rows);
      space.hop[a * n + b] = problem.costs.hop_ms(from, to, pass.rows);
      space.back[a * n + b] = problem.costs.return_ms(from, to);
    }
  }
  return space;
}

double SearchSpace::stage_ms(const RingStage& stage) const {
  const SearchUnit& unit = units[stage.unit];
  const double ms = unit.stage(stage.begin, stage.end);
  return from_disk ? ms + costs->disk_ms(unit.team, stage.begin, stage.end) : ms;
}

double ring_sum(const SearchSpace& space, const std::vector<RingStage>& stages) {
  double sum = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    sum += space.stage_ms(stages[i]);
    if (i + 1 < stages.size()) sum += space.hop_of(stages[i].unit, stages[i + 1].unit);
  }
  return stages.size() > 1 ? sum + space.back_of(stages.back().unit, stages.front().unit) : sum;
}

double ring_bottleneck(const SearchSpace& space, const std::vector<RingStage>& stages) {
  double most = 0;
  for (size_t i = 0; i < stages.size(); ++i) {
    most = std::max(most, space.stage_ms(stages[i]));
    if (i + 1 < stages.size()) most = std::max(most, space.transfer_of(stages[i].unit, stages[i + 1].unit));
  }
  return most;
}

Choices choices_of(const SearchSpace& space, const Ring& ring) {
  Choices choices;
  for (const auto& stage : ring.stages) choices.emplace_back(space.units[stage.unit].team, stage.begin, stage.end);
  return choices;
}

std::optional<Ring> search_ring(const SearchSpace& space, Minimise minimise) {
  std::optional<Ring> known = search_local(space, minimise);
  if (space.from_disk || space.n_devices > kExactDevices) {
    if (known) known->optimal = false;
    return known;
  }
  constexpr double kNoLimit = std::numeric_limits<double>::infinity();
  if (minimise == Minimise::kSum) return search_least_sum(space, known, kNoLimit);
  auto least = search_least_bottleneck(space, known);
  if (!least) return least;
  const double most_ms = least->bottleneck * (1 + 1e-9);
  std::vector<size_t> order;
  for (const auto& stage : least->stages) order.push_back(stage.unit);
  if (auto split = best_split(space, order, most_ms)) least = std::move(split);
  return search_least_sum(space, least, most_ms);
}

}  // namespace exo::cluster
