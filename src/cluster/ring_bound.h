#pragma once
// How much the rest of a ring costs at least, for the exhaustive search: everything exact but the hops, of which
// the cheapest into each unit counts.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "cluster/ring_search.h"

namespace exo::cluster {

using DeviceSet = uint32_t;  // bit i: device i of the search space

inline constexpr double kNever = std::numeric_limits<double>::infinity();

class CompletionBound {
 public:
  // For stages and transfers of at most `most_ms`, in rings whose sum is below `most_sum`: what cannot be part of
  // one is kNever. At most kExactDevices devices. The space outlives this.
  CompletionBound(const SearchSpace& space, double most_ms, double most_sum);

  // [n_layers + 1] by the number of layers placed so far: placing the others on devices of `free`, hops into their
  // stages included. Only for numbers of layers that the devices outside `free` can hold.
  std::span<const double> after(DeviceSet free) const {
    return {table_.data() + static_cast<size_t>(free) * size_, size_};
  }
  double least_hop_into(size_t unit) const { return least_hop_[unit]; }

 private:
  void find_windows(double most_ms);
  void find_capacities();
  void find_least_before();
  void fill(DeviceSet free);
  void offer(DeviceSet free, size_t unit, int32_t low, int32_t high);

  const SearchSpace& space_;
  const size_t size_;
  const double most_sum_;
  std::vector<double> least_hop_;               // into each unit
  std::vector<std::vector<int32_t>> furthest_;  // [unit][begin] the last end < n_layers of a stage; begin: none
  std::vector<int32_t> last_begin_;             // [unit] the first begin of a stage that ends with the last layer
  std::vector<int32_t> capacity_;               // [set] layers that its devices can hold at most
  std::vector<double> least_before_;            // [end] what the layers before cost at least
  std::vector<double> table_;                   // [set][begin]
  std::vector<double> reached_;                 // [end] in offer()
  std::vector<int32_t> queue_;
};

}  // namespace exo::cluster
