#include "cluster/ring_bound.h"

#include <algorithm>

namespace exo::cluster {

CompletionBound::CompletionBound(const SearchSpace& space, double most_ms, double most_sum)
    : space_(space),
      size_(static_cast<size_t>(space.n_layers) + 1),
      most_sum_(most_sum),
      least_hop_(space.units.size(), kNever),
      table_((size_t{1} << space.n_devices) * size_, kNever),
      reached_(size_),
      queue_(size_) {
  for (size_t to = 0; to < space.units.size(); ++to) {
    for (size_t from = 0; from < space.units.size(); ++from) {
      const bool apart = (space.units[from].set & space.units[to].set) == 0;
      if (apart && space.transfer_of(from, to) <= most_ms) {
        least_hop_[to] = std::min(least_hop_[to], space.hop_of(from, to));
      }
    }
  }
  find_windows(most_ms);
  find_capacities();
  find_least_before();
  for (DeviceSet free = 0; free < (DeviceSet{1} << space.n_devices); ++free) fill(free);
}

void CompletionBound::find_windows(double most_ms) {
  const int32_t layers = space_.n_layers;
  for (const SearchUnit& unit : space_.units) {
    auto& ends = furthest_.emplace_back(size_);
    int32_t end = 1;
    for (int32_t begin = 1; begin < layers; ++begin) {
      end = std::max(end, begin);
      while (end + 1 < layers && unit.earliest[static_cast<size_t>(end) + 1] <= begin &&
             unit.stage(begin, end + 1) <= most_ms) {
        ++end;
      }
      ends[static_cast<size_t>(begin)] = end;
    }
    int32_t begin = unit.earliest.back();
    while (begin < layers && unit.stage(begin, layers) > most_ms) ++begin;
    last_begin_.push_back(begin);
  }
}

void CompletionBound::find_capacities() {
  const int32_t layers = space_.n_layers;
  std::vector<int32_t> most(space_.units.size());
  for (size_t u = 0; u < most.size(); ++u) {
    most[u] = std::max(space_.units[u].first_end, layers - last_begin_[u]);
    for (int32_t begin = 1; begin < layers; ++begin) {
      most[u] = std::max(most[u], furthest_[u][static_cast<size_t>(begin)] - begin);
    }
  }
  capacity_.assign(size_t{1} << space_.n_devices, 0);
  for (DeviceSet set = 1; set < capacity_.size(); ++set) {
    for (size_t u = 0; u < most.size(); ++u) {
      const DeviceSet own = space_.units[u].set;
      if ((own & ~set) == 0) capacity_[set] = std::max(capacity_[set], capacity_[set & ~own] + most[u]);
    }
  }
}

// Every layer on the unit that is fastest for it, whatever the memory.
void CompletionBound::find_least_before() {
  least_before_.assign(size_, 0);
  for (size_t end = 1; end < size_; ++end) {
    double least = kNever;
    for (const SearchUnit& unit : space_.units) least = std::min(least, unit.until[end] - unit.until[end - 1]);
    least_before_[end] = least_before_[end - 1] + least;
  }
}

void CompletionBound::fill(DeviceSet free) {
  const DeviceSet all = static_cast<DeviceSet>(capacity_.size() - 1);
  double* own = table_.data() + static_cast<size_t>(free) * size_;
  own[size_ - 1] = 0;
  const int32_t low = std::max(1, space_.n_layers - capacity_[free]);
  const int32_t high = std::min(space_.n_layers - 1, capacity_[all & ~free]);
  if (free == 0 || low > high) return;
  for (size_t u = 0; u < space_.units.size(); ++u) {
    if ((space_.units[u].set & ~free) == 0 && least_hop_[u] < kNever) offer(free, u, low, high);
  }
  for (int32_t begin = low; begin <= high; ++begin) {
    double& ms = own[begin];
    if (ms + least_before_[static_cast<size_t>(begin)] >= most_sum_) ms = kNever;
  }
}

// The unit next, from `begin` on: the best of its ends, a sliding minimum for falling begins.
void CompletionBound::offer(DeviceSet free, size_t index, int32_t low, int32_t high) {
  const SearchUnit& unit = space_.units[index];
  const double* rest = table_.data() + static_cast<size_t>(free & ~unit.set) * size_;
  double* own = table_.data() + static_cast<size_t>(free) * size_;
  const double* until = unit.until.data();
  const int32_t* furthest = furthest_[index].data();
  const double fixed = least_hop_[index] + unit.overhead;
  const double at_end = fixed + unit.head + unit.until.back();
  const int32_t last = furthest[high];
  for (int32_t end = low + 1; end <= last; ++end) reached_[static_cast<size_t>(end)] = rest[end] + until[end];
  int32_t head = 0, tail = 0, next = last;
  for (int32_t begin = high; begin >= low; --begin) {
    for (; next > begin; --next) {
      const double value = reached_[static_cast<size_t>(next)];
      if (value == kNever) continue;
      while (tail > head && reached_[static_cast<size_t>(queue_[static_cast<size_t>(tail) - 1])] >= value) --tail;
      queue_[static_cast<size_t>(tail++)] = next;
    }
    while (head < tail && queue_[static_cast<size_t>(head)] > furthest[begin]) ++head;
    double ms = begin >= last_begin_[index] ? at_end - until[begin] : kNever;
    if (head < tail) {
      ms = std::min(ms, fixed - until[begin] + reached_[static_cast<size_t>(queue_[static_cast<size_t>(head)])]);
    }
    own[begin] = std::min(own[begin], ms);
  }
}

}  // namespace exo::cluster
