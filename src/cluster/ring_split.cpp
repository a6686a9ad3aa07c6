// The best boundaries for units in a given order: dynamic programming over the layers, a sliding minimum per unit.

#include <algorithm>
#include <deque>
#include <limits>

#include "cluster/ring_search.h"

namespace exo::cluster {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

// The first begin ≥ 1 from which the unit reaches each end within its memory and `most_ms`.
class Windows {
 public:
  Windows(const SearchUnit& unit, double most_ms) : unit_(unit), most_ms_(most_ms) {}
  int32_t start(int32_t end) {  // for rising ends
    begin_ = std::max(begin_, unit_.earliest[static_cast<size_t>(end)]);
    while (begin_ < end && unit_.stage(begin_, end) > most_ms_) ++begin_;
    return begin_;
  }

 private:
  const SearchUnit& unit_;
  const double most_ms_;
  int32_t begin_ = 1;
};

struct Table {
  std::vector<double> cost;     // [n_layers + 1] of having placed so many layers
  std::vector<int32_t> begins;  // of the last stage then
};

Table first_table(const SearchSpace& space, size_t unit, double most_ms) {
  const auto size = static_cast<size_t>(space.n_layers) + 1;
  Table table{std::vector<double>(size, kNever), std::vector<int32_t>(size, 0)};
  for (int32_t end = 1; end <= space.units[unit].first_end; ++end) {
    const double ms = space.stage_ms({unit, 0, end});
    if (ms <= most_ms) table.cost[static_cast<size_t>(end)] = ms;
  }
  return table;
}

Table next_table(const SearchSpace& space, size_t index, const Table& before, double hop, double most_ms) {
  const SearchUnit& unit = space.units[index];
  const auto size = static_cast<size_t>(space.n_layers) + 1;
  Table table{std::vector<double>(size, kNever), std::vector<int32_t>(size, 0)};
  Windows windows(unit, most_ms);
  std::vector<int32_t> queue(size);  // begins with rising before.cost - until
  size_t head = 0, tail = 0;
  const auto key = [&](int32_t begin) {
    return before.cost[static_cast<size_t>(begin)] - unit.until[static_cast<size_t>(begin)];
  };
  for (int32_t end = 2; end <= space.n_layers; ++end) {
    const int32_t newest = end - 1;
    if (before.cost[static_cast<size_t>(newest)] < kNever) {
      while (tail > head && key(queue[tail - 1]) > key(newest)) --tail;
      queue[tail++] = newest;
    }
    const int32_t start = windows.start(end);
    while (head < tail && queue[head] < start) ++head;
    if (head == tail) continue;
    table.cost[static_cast<size_t>(end)] =
        before.cost[static_cast<size_t>(queue[head])] + unit.stage(queue[head], end) + hop;
    table.begins[static_cast<size_t>(end)] = queue[head];
  }
  return table;
}

// As next_table, for stages whose time is no sum over layers: every begin is tried.
Table next_table_from_disk(const SearchSpace& space, size_t index, const Table& before, double hop) {
  const auto size = static_cast<size_t>(space.n_layers) + 1;
  Table table{std::vector<double>(size, kNever), std::vector<int32_t>(size, 0)};
  for (int32_t end = 2; end <= space.n_layers; ++end) {
    const auto at = static_cast<size_t>(end);
    for (int32_t begin = space.units[index].earliest[at]; begin < end; ++begin) {
      const double so_far = before.cost[static_cast<size_t>(begin)];
      if (so_far >= table.cost[at]) continue;
      const double cost = so_far + hop + space.stage_ms({index, begin, end});
      if (cost >= table.cost[at]) continue;
      table.cost[at] = cost;
      table.begins[at] = begin;
    }
  }
  return table;
}

// The furthest ends, each stage within `most_ms` and each later unit left a layer.
std::optional<std::vector<RingStage>> greedy_split(const SearchSpace& space, const std::vector<size_t>& order,
                                                   double most_ms) {
  std::vector<RingStage> stages;
  int32_t begin = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const SearchUnit& unit = space.units[order[i]];
    const int32_t limit = space.n_layers - static_cast<int32_t>(order.size() - 1 - i);
    int32_t end = begin;
    while (end < limit) {
      const bool fits =
          begin == 0 ? end + 1 <= unit.first_end : unit.earliest[static_cast<size_t>(end) + 1] <= begin;
      if (!fits || space.stage_ms({order[i], begin, end + 1}) > most_ms) break;
      ++end;
    }
    if (end == begin) return std::nullopt;
    stages.push_back({order[i], begin, end});
    begin = end;
  }
  if (begin != space.n_layers) return std::nullopt;
  return stages;
}

}  // namespace

std::optional<Ring> best_split(const SearchSpace& space, const std::vector<size_t>& order, double most_ms) {
  if (order.empty() || order.size() > static_cast<size_t>(space.n_layers)) return std::nullopt;
  std::vector<Table> tables{first_table(space, order[0], most_ms)};
  for (size_t i = 1; i < order.size(); ++i) {
    if (space.transfer_of(order[i - 1], order[i]) > most_ms) return std::nullopt;
    const double hop = space.hop_of(order[i - 1], order[i]);
    tables.push_back(space.from_disk ? next_table_from_disk(space, order[i], tables.back(), hop)
                                     : next_table(space, order[i], tables.back(), hop, most_ms));
  }
  int32_t end = space.n_layers;
  if (tables.back().cost[static_cast<size_t>(end)] == kNever) return std::nullopt;
  Ring ring;
  ring.stages.resize(order.size());
  for (size_t i = order.size(); i-- > 0;) {
    const int32_t begin = tables[i].begins[static_cast<size_t>(end)];
    ring.stages[i] = {order[i], begin, end};
    end = begin;
  }
  ring.sum = ring_sum(space, ring.stages);
  ring.bottleneck = ring_bottleneck(space, ring.stages);
  return ring;
}

std::optional<Ring> best_bottleneck_split(const SearchSpace& space, const std::vector<size_t>& order) {
  auto best = best_split(space, order, kNever);
  if (!best || space.from_disk) return best;
  double low = 0, high = best->bottleneck;
  for (size_t i = 0; i + 1 < order.size(); ++i) low = std::max(low, space.transfer_of(order[i], order[i + 1]));
  if (low >= high) return best;
  while (high - low > 1e-9 * high) {
    const double middle = (low + high) / 2;
    const auto stages = greedy_split(space, order, middle);
    if (stages)
      high = ring_bottleneck(space, *stages);
    else
      low = middle;
    if (stages && high > middle) break;  // a transfer is the bottleneck
  }
  auto split = best_split(space, order, high * (1 + 1e-12));
  return split ? split : best;
}

}  // namespace exo::cluster
