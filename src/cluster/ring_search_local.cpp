// For many devices: sets that suggest themselves, and local changes as long as they help.

#include <algorithm>
#include <limits>
#include <numeric>

#include "cluster/ring_search.h"

namespace exo::cluster {
namespace {

using Order = std::vector<size_t>;

// What the search may cost, in table cells of best_split; some tens of milliseconds.
constexpr int64_t kMostCells = 4'000'000;
constexpr int64_t kMostCellsFromDisk = 40'000'000;
constexpr int64_t kMostCellsBeforeExact = 400'000;  // the exhaustive search only wants a good ring to beat

class LocalSearch {
 public:
  LocalSearch(const SearchSpace& space, Minimise minimise)
      : space_(space), minimise_(minimise), cells_(cells_for(space)) {
    for (size_t a = 0; a < space.units.size(); ++a) {
      for (size_t b = 0; b < space.units.size(); ++b) {
        if (a != b && space.hop_of(a, b) != space.hop_of(0, 1)) equal_links_ = false;
      }
    }
  }

  std::optional<Ring> run() {
    for (const bool by_speed : {true, false}) try_prefixes(ranking(by_speed));
    while (best_ && cells_ > 0 && improve()) {
    }
    return best_;
  }

 private:
  static int64_t cells_for(const SearchSpace& space) {
    if (space.from_disk) return kMostCellsFromDisk;
    return space.n_devices > kExactDevices ? kMostCells : kMostCellsBeforeExact;
  }

  // Units without shared devices: the fastest per layer first, or those that hold most.
  Order ranking(bool by_speed) const {
    Order all(space_.units.size());
    std::iota(all.begin(), all.end(), size_t{0});
    std::stable_sort(all.begin(), all.end(), [&](size_t a, size_t b) {
      const SearchUnit &left = space_.units[a], &right = space_.units[b];
      if (by_speed) return left.until.back() < right.until.back();
      return left.first_end > right.first_end;
    });
    Order order;
    for (size_t unit : all) {
      if (is_free(order, unit, order.size())) order.push_back(unit);
    }
    return order;
  }

  // No device of `unit` is used by another of `order` than the one at `except`.
  bool is_free(const Order& order, size_t unit, size_t except) const {
    for (size_t i = 0; i < order.size(); ++i) {
      if (i == except) continue;
      for (size_t device : space_.units[order[i]].devices) {
        const auto& devices = space_.units[unit].devices;
        if (std::find(devices.begin(), devices.end(), device) != devices.end()) return false;
      }
    }
    return true;
  }

  void try_prefixes(const Order& ranked) {
    const size_t most = std::min(ranked.size(), static_cast<size_t>(space_.n_layers));
    for (size_t n = 1; n <= most; ++n) {
      const Order set(ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(n));
      attempt(set);
      if (!equal_links_) attempt(nearest_neighbours(set));
    }
  }

  Order nearest_neighbours(Order left) const {
    Order order{left.front()};
    left.erase(left.begin());
    while (!left.empty()) {
      const auto next = std::min_element(left.begin(), left.end(), [&](size_t a, size_t b) {
        return space_.hop_of(order.back(), a) < space_.hop_of(order.back(), b);
      });
      order.push_back(*next);
      left.erase(next);
    }
    return order;
  }

  bool attempt(const Order& order) {
    size_t devices = 0;
    for (size_t unit : order) devices += space_.units[unit].devices.size();
    if (devices < static_cast<size_t>(space_.min_devices) || order.empty()) return false;
    const int64_t cells = static_cast<int64_t>(order.size()) * (space_.n_layers + 1);
    cells_ -= space_.from_disk ? cells * space_.n_layers / 2 : cells;
    const auto ring = minimise_ == Minimise::kSum
                          ? best_split(space_, order, std::numeric_limits<double>::infinity())
                          : best_bottleneck_split(space_, order);
    if (!ring || (best_ && !better(*ring, *best_))) return false;
    best_ = ring;
    best_order_ = order;
    return true;
  }
  bool better(const Ring& a, const Ring& b) const {
    constexpr double kLess = 1 - 1e-9;
    if (minimise_ == Minimise::kSum) return a.sum < b.sum * kLess;
    if (a.bottleneck < b.bottleneck * kLess) return true;
    return a.bottleneck * kLess < b.bottleneck && a.sum < b.sum * kLess;
  }

  // One change of the best order; true when one helped.
  bool improve() {
    const Order order = best_order_;
    for (size_t i = 0; i < order.size() && cells_ > 0; ++i) {
      Order changed = order;
      changed.erase(changed.begin() + static_cast<std::ptrdiff_t>(i));
      if (attempt(changed)) return true;
    }
    for (size_t unit = 0; unit < space_.units.size() && cells_ > 0; ++unit) {
      if (std::find(order.begin(), order.end(), unit) != order.end()) continue;
      if (change_with(order, unit)) return true;
    }
    return reorder(order);
  }
  bool change_with(const Order& order, size_t unit) {
    for (size_t i = 0; i < order.size() && cells_ > 0; ++i) {
      if (!is_free(order, unit, i)) continue;
      Order changed = order;
      changed[i] = unit;
      if (attempt(changed)) return true;
    }
    if (!is_free(order, unit, order.size()) || order.size() >= static_cast<size_t>(space_.n_layers)) return false;
    const size_t step = equal_links_ ? std::max<size_t>(order.size(), 1) : 1;
    for (size_t i = 0; i <= order.size() && cells_ > 0; i += step) {
      Order changed = order;
      changed.insert(changed.begin() + static_cast<std::ptrdiff_t>(i), unit);
      if (attempt(changed)) return true;
    }
    return false;
  }
  // Swaps with the ends (which hold embedding and head), and reversals of parts when the links differ.
  bool reorder(const Order& order) {
    for (size_t i = 0; i + 1 < order.size() && cells_ > 0; ++i) {
      for (size_t j = i + 1; j < order.size() && cells_ > 0; ++j) {
        if (equal_links_ && i != 0 && j + 1 != order.size()) continue;
        Order changed = order;
        std::swap(changed[i], changed[j]);
        if (attempt(changed)) return true;
        if (equal_links_ || j < i + 2) continue;
        changed = order;
        std::reverse(changed.begin() + static_cast<std::ptrdiff_t>(i),
                     changed.begin() + static_cast<std::ptrdiff_t>(j) + 1);
        if (attempt(changed)) return true;
      }
    }
    return false;
  }

  const SearchSpace& space_;
  const Minimise minimise_;
  int64_t cells_;
  bool equal_links_ = true;
  std::optional<Ring> best_;
  Order best_order_;
};

}  // namespace

std::optional<Ring> search_local(const SearchSpace& space, Minimise minimise) {
  if (space.units.empty()) return std::nullopt;
  return LocalSearch(space, minimise).run();
}

}  // namespace exo::cluster
