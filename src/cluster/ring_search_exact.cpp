// Exhaustive search for up to kExactDevices devices.
//
// Least sum: dynamic programming over (devices used, unit of the last stage, layers placed), for each unit that can
// be the first. What cannot lead below the best known ring, by the bound of Remaining, is dropped. Least
// bottleneck: for a limit on every stage, the most layers that each set of devices can cover from the start;
// bisection over the limit.

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <numeric>

#include "cluster/ring_search.h"

namespace exo::cluster {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kLess = 1 - 1e-12;  // what counts as better

using Mask = uint32_t;  // of devices

std::vector<Mask> masks_of(const SearchSpace& space) {
  std::vector<Mask> masks;
  for (const auto& unit : space.units) {
    Mask mask = 0;
    for (size_t device : unit.devices) mask |= Mask{1} << device;
    masks.push_back(mask);
  }
  return masks;
}

// For each unit an earlier one that differs in nothing; used before it without loss. -1: none.
std::vector<int> twins_of(const SearchSpace& space) {
  const size_t n = space.units.size();
  std::vector<int> twins(n, -1);
  const auto same_links = [&](size_t a, size_t b) {
    for (size_t c = 0; c < n; ++c) {
      if (c == a || c == b) continue;
      if (space.hop_of(a, c) != space.hop_of(b, c) || space.hop_of(c, a) != space.hop_of(c, b) ||
          space.transfer_of(a, c) != space.transfer_of(b, c) ||
          space.transfer_of(c, a) != space.transfer_of(c, b) || space.back_of(a, c) != space.back_of(b, c) ||
          space.back_of(c, a) != space.back_of(c, b)) {
        return false;
      }
    }
    return space.hop_of(a, b) == space.hop_of(b, a) && space.back_of(a, b) == space.back_of(b, a);
  };
  for (size_t b = 1; b < n; ++b) {
    const SearchUnit& unit = space.units[b];
    if (unit.devices.size() > 1) continue;
    for (size_t a = b; a-- > 0 && twins[b] < 0;) {
      const SearchUnit& other = space.units[a];
      const bool same = other.devices.size() == 1 && other.until == unit.until && other.overhead == unit.overhead &&
                        other.head == unit.head && other.earliest == unit.earliest &&
                        other.first_end == unit.first_end && same_links(a, b);
      if (same) twins[b] = static_cast<int>(a);
    }
  }
  // A twin must not be part of a team either, where it is not exchangeable.
  std::vector<bool> in_team(space.n_devices);
  for (const auto& unit : space.units) {
    for (size_t device : unit.devices) in_team[device] = in_team[device] || unit.devices.size() > 1;
  }
  for (size_t b = 0; b < n; ++b) {
    if (twins[b] < 0) continue;
    const size_t a = space.units[static_cast<size_t>(twins[b])].devices.front();
    if (in_team[a] || in_team[space.units[b].devices.front()]) twins[b] = -1;
  }
  return twins;
}

// Lower bound on what the layers from `end` on cost on devices not in `used`: layers in fractions to the fastest
// that are left, each up to its memory, and an overhead and a hop for as many as that memory takes.
class Remaining {
 public:
  Remaining(const SearchSpace& space, const std::vector<Mask>& masks, double most_ms) : layers_(space.n_layers) {
    const auto& reference = space.units.front().until;
    total_.resize(reference.size());
    const double mean = reference.back() / std::max(space.n_layers, 1);
    for (size_t i = 0; i < reference.size(); ++i) {
      total_[i] = mean > 0 ? reference[i] / mean : static_cast<double>(i);
    }
    least_each_ = head_ = back_ = kNever;
    for (size_t u = 0; u < space.units.size(); ++u) {
      const SearchUnit& unit = space.units[u];
      Item item{masks[u], kNever};
      for (size_t i = 0; i + 1 < total_.size(); ++i) {
        const double size = total_[i + 1] - total_[i];
        if (size > 0) item.ms = std::min(item.ms, (unit.until[i + 1] - unit.until[i]) / size);
      }
      if (item.ms == kNever) item.ms = 0;
      for (size_t end = 1; end < total_.size(); ++end) {
        const auto begin = static_cast<size_t>(unit.earliest[end]);
        if (begin < end) item.most = std::max(item.most, total_[end] - total_[begin]);
      }
      if (item.ms > 0) item.most = std::min(item.most, std::max(0.0, most_ms - unit.overhead) / item.ms);
      head_ = std::min(head_, unit.head);
      double hop = kNever;
      for (size_t v = 0; v < space.units.size(); ++v) {
        if (u == v) continue;
        hop = std::min(hop, space.hop_of(v, u));
        back_ = std::min(back_, space.back_of(u, v));
      }
      item.each = unit.overhead + (hop == kNever ? 0 : hop);
      item.rate = item.ms + (item.most > 0 ? item.each / item.most : 0);
      items_.push_back(item);
      least_each_ = std::min(least_each_, item.each);
    }
    if (back_ == kNever) back_ = 0;
    by_speed_ = by_rate_ = items_;
    std::sort(by_speed_.begin(), by_speed_.end(), [](auto& a, auto& b) { return a.ms < b.ms; });
    std::sort(by_rate_.begin(), by_rate_.end(), [](auto& a, auto& b) { return a.rate < b.rate; });
    std::sort(items_.begin(), items_.end(), [](auto& a, auto& b) { return a.most > b.most; });
    cached_.resize(size_t{1} << space.n_devices);
  }

  // [n_layers]: by layers placed so far.
  const std::vector<double>& after(Mask used) {
    auto& bounds = cached_[used];
    if (!bounds.empty()) return bounds;
    bounds.resize(static_cast<size_t>(layers_));
    for (size_t end = 1; end < bounds.size(); ++end) bounds[end] = bound(used, total_.back() - total_[end]);
    return bounds;
  }

 private:
  struct Item {
    Mask mask = 0;
    double ms = 0, most = 0;    // per size; size that it can hold
    double each = 0, rate = 0;  // overhead and hop; all of it per size, when it is full
  };

  // `size` in fractions to the cheapest, each up to what it can hold; kNever: it does not fit.
  static double fill(const std::vector<Item>& items, double Item::*price, Mask used, double size) {
    double sum = 0, left = size;
    for (const auto& item : items) {
      if ((item.mask & used) != 0) continue;
      const double part = std::min(left, item.most);
      sum += part * item.*price;
      left -= part;
      if (left <= 1e-9 * size) return sum;
    }
    return kNever;
  }

  // Two bounds: fixed costs spread over what a unit can hold; or the least fixed cost for as many as memory takes.
  double bound(Mask used, double size) const {
    const double spread = fill(by_rate_, &Item::rate, used, size);
    if (spread == kNever) return kNever;
    double sum = fill(by_speed_, &Item::ms, used, size), left = size * (1 - 1e-9);
    for (const auto& item : items_) {
      if ((item.mask & used) != 0) continue;
      sum += least_each_;
      left -= item.most;
      if (left <= 0) break;
    }
    return head_ + back_ + std::max(sum, spread);
  }

  const int32_t layers_;
  std::vector<double> total_;  // size of the layers before, in mean layers
  std::vector<Item> items_, by_speed_, by_rate_;
  double least_each_ = 0, head_ = 0, back_ = 0;
  std::vector<std::vector<double>> cached_;  // by used
};

class LeastSum {
 public:
  LeastSum(const SearchSpace& space, const std::optional<Ring>& known, double most_ms)
      : space_(space),
        most_ms_(most_ms),
        size_(static_cast<size_t>(space.n_layers) + 1),
        masks_(masks_of(space)),
        twins_(twins_of(space)),
        remaining_(space, masks_, most_ms),
        best_(known) {
    if (best_) best_sum_ = best_->sum;
    best_sum_ *= 1 + 1e-12;
    scratch_.resize(size_);
    from_.resize(size_);
    queue_.resize(size_);
  }

  std::optional<Ring> run() {
    const size_t n = space_.units.size();
    bool equal_returns = true;
    for (size_t a = 0; a < n; ++a) {
      for (size_t b = 0; b < n; ++b) equal_returns &= a == b || space_.back_of(a, b) == space_.back_of(0, 1);
    }
    std::vector<size_t> firsts(n);
    std::iota(firsts.begin(), firsts.end(), size_t{0});
    if (equal_returns) {
      search(firsts);
    } else {
      for (size_t first : firsts) search({first});
    }
    return best_;
  }

 private:
  // Costs of having placed so many layers with the state's devices, its unit last.
  struct State {
    std::vector<double> cost;
    std::vector<int16_t> begin, unit_before;
    int32_t low = 0, high = 0;  // where costs are
  };

  bool may_use(size_t unit, Mask used) const {
    if ((masks_[unit] & used) != 0) return false;
    return twins_[unit] < 0 || (masks_[static_cast<size_t>(twins_[unit])] & used) != 0;
  }

  void search(const std::vector<size_t>& firsts) {
    states_.clear();
    states_.resize((size_t{1} << space_.n_devices) * space_.units.size());
    for (size_t first : firsts) {
      if (may_use(first, 0)) start(first);
    }
    const Mask all = static_cast<Mask>((uint64_t{1} << space_.n_devices) - 1);
    for (Mask used = 1; used < all; ++used) {
      lasts_.clear();
      for (size_t u = 0; u < space_.units.size(); ++u) {
        if (state(used, u) != nullptr) lasts_.push_back(u);
      }
      if (lasts_.empty()) continue;
      for (size_t next = 0; next < space_.units.size(); ++next) {
        if (may_use(next, used)) extend(used, next, firsts.front());
      }
    }
  }

  std::unique_ptr<State>& state(Mask used, size_t unit) { return states_[used * space_.units.size() + unit]; }
  bool enough(Mask used) const { return std::popcount(used) >= space_.min_devices; }

  // Keeps what may still lead to something better.
  void keep(Mask used, size_t unit, int32_t low, int32_t high, std::vector<int16_t> begins,
            std::vector<int16_t> before) {
    const auto& bounds = remaining_.after(used);
    int32_t first = space_.n_layers, last = 0;
    for (int32_t end = low; end <= high; ++end) {
      auto& cost = scratch_[static_cast<size_t>(end)];
      if (cost + bounds[static_cast<size_t>(end)] >= best_sum_ * kLess) cost = kNever;
      if (cost == kNever) continue;
      first = std::min(first, end);
      last = end;
    }
    if (first > last) return;
    auto& kept = state(used, unit) = std::make_unique<State>();
    kept->cost = scratch_;
    kept->begin = std::move(begins);
    kept->unit_before = std::move(before);
    kept->low = first;
    kept->high = last;
  }

  void start(size_t first) {
    const SearchUnit& unit = space_.units[first];
    std::fill(scratch_.begin(), scratch_.end(), kNever);
    int32_t high = 0;
    for (int32_t end = 1; end <= unit.first_end; ++end) {
      const double cost = unit.stage(0, end);
      if (cost > most_ms_) break;
      if (end < space_.n_layers) {
        scratch_[static_cast<size_t>(end)] = cost;
        high = end;
      } else if (enough(masks_[first]) && cost < best_sum_ * kLess) {
        take({{first, 0, end}}, cost);
      }
    }
    keep(masks_[first], first, 1, high, std::vector<int16_t>(size_), std::vector<int16_t>(size_, -1));
  }

  // The cheapest way to each number of layers with `used`, ready to hop to `next`.
  bool gather(Mask used, size_t next, int32_t& low, int32_t& high) {
    std::fill(scratch_.begin(), scratch_.end(), kNever);
    low = space_.n_layers;
    high = 0;
    for (size_t last : lasts_) {
      if (space_.transfer_of(last, next) > most_ms_) continue;
      const State& from = *state(used, last);
      const double hop = space_.hop_of(last, next);
      low = std::min(low, from.low);
      high = std::max(high, from.high);
      for (auto at = static_cast<size_t>(from.low); at <= static_cast<size_t>(from.high); ++at) {
        const double cost = from.cost[at] + hop;
        if (cost >= scratch_[at]) continue;
        scratch_[at] = cost;
        from_[at] = static_cast<int16_t>(last);
      }
    }
    return low <= high;
  }

  void extend(Mask used, size_t next, size_t first) {
    int32_t low = 0, high = 0;
    if (!gather(used, next, low, high)) return;
    const SearchUnit& unit = space_.units[next];
    const Mask now = used | masks_[next];
    const std::vector<double> before = scratch_;
    std::fill(scratch_.begin(), scratch_.end(), kNever);
    std::vector<int16_t> begins(size_), units(size_, -1);
    const auto key = [&](int32_t at) {
      return before[static_cast<size_t>(at)] - unit.until[static_cast<size_t>(at)];
    };
    size_t head = 0, tail = 0;
    int32_t start = 1, most = 0;
    for (int32_t end = low + 1; end <= space_.n_layers; ++end) {
      const int32_t newest = end - 1;
      if (newest <= high && before[static_cast<size_t>(newest)] < kNever) {
        while (tail > head && key(queue_[tail - 1]) > key(newest)) --tail;
        queue_[tail++] = newest;
      }
      start = std::max(start, unit.earliest[static_cast<size_t>(end)]);
      while (start < end && unit.stage(start, end) > most_ms_) ++start;
      while (head < tail && queue_[head] < start) ++head;
      if (head == tail) {
        if (newest >= high) break;
        continue;
      }
      const int32_t begin = queue_[head];
      const auto at = static_cast<size_t>(end);
      scratch_[at] = before[static_cast<size_t>(begin)] + unit.stage(begin, end);
      begins[at] = static_cast<int16_t>(begin);
      units[at] = from_[static_cast<size_t>(begin)];
      most = end;
    }
    if (most == space_.n_layers) {
      const double sum = scratch_.back() + space_.back_of(next, first == next ? lasts_.front() : first);
      if (enough(now) && sum < best_sum_ * kLess) finish(now, next, begins.back(), units.back(), sum);
      scratch_.back() = kNever;
      --most;
    }
    keep(now, next, low + 1, most, std::move(begins), std::move(units));
  }

  void finish(Mask used, size_t unit, int32_t begin, int16_t before, double sum) {
    std::vector<RingStage> stages{{unit, begin, space_.n_layers}};
    while (before >= 0) {
      used &= ~masks_[stages.back().unit];
      const State& from = *state(used, static_cast<size_t>(before));
      const auto end = static_cast<size_t>(stages.back().begin);
      stages.push_back({static_cast<size_t>(before), from.begin[end], stages.back().begin});
      before = from.unit_before[end];
    }
    std::reverse(stages.begin(), stages.end());
    take(std::move(stages), sum);
  }

  void take(std::vector<RingStage> stages, double sum) {
    best_ = Ring{std::move(stages), sum, 0, true};
    best_->sum = ring_sum(space_, best_->stages);
    best_->bottleneck = ring_bottleneck(space_, best_->stages);
    best_sum_ = best_->sum;
  }

  const SearchSpace& space_;
  const double most_ms_;
  const size_t size_;
  const std::vector<Mask> masks_;
  const std::vector<int> twins_;
  Remaining remaining_;
  std::optional<Ring> best_;
  double best_sum_ = kNever;
  std::vector<std::unique_ptr<State>> states_;  // [used × units]
  std::vector<size_t> lasts_;
  std::vector<double> scratch_;
  std::vector<int16_t> from_;
  std::vector<int32_t> queue_;
};

class LeastBottleneck {
 public:
  LeastBottleneck(const SearchSpace& space, const std::optional<Ring>& known)
      : space_(space), masks_(masks_of(space)), best_(known) {}

  std::optional<Ring> run() {
    if (!best_) {
      // Without a limit: whatever fits at all.
      if (!covers(kNever)) return std::nullopt;
    }
    double low = 0;
    while (best_->bottleneck - low > 1e-10 * best_->bottleneck) {
      const double middle = (low + best_->bottleneck) / 2;
      if (!covers(middle)) low = middle;
    }
    return best_;
  }

 private:
  struct Reach {
    int32_t end = 0, begin = 0, before = -1;
  };

  // A ring within the limit becomes the best one.
  bool covers(double most_ms) {
    tabulate(most_ms);
    const size_t n = space_.units.size();
    links_bind_ = false;
    for (double ms : space_.transfer) links_bind_ |= ms > most_ms;
    const size_t width = links_bind_ ? n : 1;
    reach_.assign((size_t{1} << space_.n_devices) * width, Reach{});
    last_.assign(reach_.size(), 0);
    for (size_t u = 0; u < n; ++u) advance(0, 0, u, -1, width);
    for (Mask used = 1; used < (Mask{1} << space_.n_devices); ++used) {
      for (size_t w = 0; w < width; ++w) {
        const size_t at = used * width + w;
        if (reach_[at].end == 0) continue;
        if (reach_[at].end == space_.n_layers) return found(used, w, width);
        for (size_t u = 0; u < n; ++u) {
          if ((masks_[u] & used) != 0) continue;
          if (links_bind_ && space_.transfer_of(w, u) > most_ms) continue;
          advance(used, reach_[at].end, u, static_cast<int32_t>(last_[at]), width);
        }
      }
    }
    return false;
  }

  void tabulate(double most_ms) {
    furthest_.resize(space_.units.size());
    for (size_t u = 0; u < space_.units.size(); ++u) {
      const SearchUnit& unit = space_.units[u];
      auto& ends = furthest_[u];
      ends.assign(static_cast<size_t>(space_.n_layers) + 1, 0);
      int32_t end = 0;
      for (int32_t begin = 0; begin <= space_.n_layers; ++begin) {
        end = std::max(end, begin);
        while (end < space_.n_layers) {
          const bool fits =
              begin == 0 ? end + 1 <= unit.first_end : unit.earliest[static_cast<size_t>(end) + 1] <= begin;
          if (!fits || unit.stage(begin, end + 1) > most_ms) break;
          ++end;
        }
        ends[static_cast<size_t>(begin)] = end;
      }
    }
  }

  void advance(Mask used, int32_t begin, size_t unit, int32_t before, size_t width) {
    const Mask now = used | masks_[unit];
    const int32_t later = std::max(0, space_.min_devices - std::popcount(now));
    const int32_t end = std::min(furthest_[unit][static_cast<size_t>(begin)], space_.n_layers - later);
    const size_t at = now * width + (width > 1 ? unit : 0);
    if (end <= begin || end <= reach_[at].end) return;
    reach_[at] = {end, begin, before};
    last_[at] = unit;
  }

  bool found(Mask used, size_t w, size_t width) {
    std::vector<RingStage> stages;
    while (used != 0) {
      const size_t at = used * width + w;
      stages.push_back({last_[at], reach_[at].begin, reach_[at].end});
      used &= ~masks_[last_[at]];
      w = width > 1 && reach_[at].before >= 0 ? static_cast<size_t>(reach_[at].before) : 0;
    }
    std::reverse(stages.begin(), stages.end());
    Ring ring{std::move(stages), 0, 0, true};
    ring.sum = ring_sum(space_, ring.stages);
    ring.bottleneck = ring_bottleneck(space_, ring.stages);
    best_ = std::move(ring);
    return true;
  }

  const SearchSpace& space_;
  const std::vector<Mask> masks_;
  std::optional<Ring> best_;
  bool links_bind_ = false;
  std::vector<std::vector<int32_t>> furthest_;  // [unit][begin]
  std::vector<Reach> reach_;                    // [used] or [used × units]
  std::vector<size_t> last_;
};

}  // namespace

std::optional<Ring> search_least_sum(const SearchSpace& space, const std::optional<Ring>& known, double most_ms) {
  if (space.units.empty()) return std::nullopt;
  return LeastSum(space, known, most_ms).run();
}

std::optional<Ring> search_least_bottleneck(const SearchSpace& space, const std::optional<Ring>& known) {
  if (space.units.empty()) return std::nullopt;
  return LeastBottleneck(space, known).run();
}

}  // namespace exo::cluster
