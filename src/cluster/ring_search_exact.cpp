// The least sum, exhaustively, for up to kExactDevices devices: dynamic programming over (devices used, unit of the
// last stage, layers placed), for each unit that can be the first. What cannot lead below the best known ring, by
// CompletionBound, is dropped, which leaves few states.

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/check.h"
#include "cluster/ring_bound.h"

namespace exo::cluster {
namespace {

constexpr double kLess = 1 - 1e-12;  // what counts as better

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

class LeastSum {
 public:
  LeastSum(const SearchSpace& space, const std::optional<Ring>& known, double most_ms)
      : space_(space),
        most_ms_(most_ms),
        size_(static_cast<size_t>(space.n_layers) + 1),
        all_((DeviceSet{1} << space.n_devices) - 1),
        twins_(twins_of(space)),
        best_(known),
        best_sum_(known ? known->sum * (1 + 1e-12) : kNever),
        bound_(space, most_ms, best_sum_),
        present_(size_t{all_} + 1),
        kept_(present_.size() * space.units.size()),
        before_(size_),
        costs_(size_),
        from_(size_),
        begins_(size_),
        units_(size_),
        queue_(size_) {
    EXO_CHECK(space.units.size() <= kMostUnits);
  }

  std::optional<Ring> run() {
    const size_t n = space_.units.size();
    bool equal_returns = true;
    for (size_t a = 0; a < n; ++a) {
      for (size_t b = 0; b < n; ++b) equal_returns &= a == b || space_.back_of(a, b) == space_.back_of(0, 1);
    }
    std::vector<size_t> firsts;
    for (size_t first = 0; first < n; ++first) {
      if (may_use(first, 0)) firsts.push_back(first);
    }
    if (equal_returns) {
      search(firsts);
      return best_;
    }
    // The most promising first, so that the others find a better ring to beat.
    std::vector<double> promise(n, kNever);
    for (size_t first : firsts) promise[first] = least_from(first);
    std::stable_sort(firsts.begin(), firsts.end(), [&](size_t a, size_t b) { return promise[a] < promise[b]; });
    for (size_t first : firsts) search({first});
    return best_;
  }

 private:
  static constexpr size_t kMostUnits = 64;
  using UnitSet = uint64_t;

  // Costs of having placed so many layers with a set of devices and a last unit: from `low` to `high`, at `at` of
  // the pools.
  struct Kept {
    size_t at = 0;
    int32_t low = 0, high = 0;
  };
  // How a state was reached: where its last stage begins, and the unit before.
  struct Step {
    int16_t begin = 0, unit_before = -1;
  };

  DeviceSet set_of(size_t unit) const { return space_.units[unit].set; }
  Kept& kept(DeviceSet used, size_t unit) { return kept_[used * space_.units.size() + unit]; }
  bool enough(DeviceSet used) const { return std::popcount(used) >= space_.min_devices; }
  bool may_use(size_t unit, DeviceSet used) const {
    if ((set_of(unit) & used) != 0) return false;
    return twins_[unit] < 0 || (set_of(static_cast<size_t>(twins_[unit])) & used) != 0;
  }
  double least_back_to(size_t first) const {
    double least = kNever;
    for (size_t last = 0; last < space_.units.size(); ++last) {
      if ((set_of(last) & set_of(first)) == 0) least = std::min(least, space_.back_of(last, first));
    }
    return least;
  }
  double least_from(size_t first) const {
    const auto rest = bound_.after(all_ & ~set_of(first));
    double least = kNever;
    for (int32_t end = 1; end <= space_.units[first].first_end; ++end) {
      least = std::min(least, space_.units[first].stage(0, end) + rest[static_cast<size_t>(end)]);
    }
    return least + (least_back_to(first) == kNever ? 0 : least_back_to(first));
  }

  // All rings that begin with one of `firsts`, to which all returns cost the same when they are several.
  void search(const std::vector<size_t>& firsts) {
    std::fill(present_.begin(), present_.end(), UnitSet{0});
    pool_.clear();
    steps_.clear();
    first_ = firsts.front();
    several_ = firsts.size() > 1;
    least_back_ = least_back_to(first_);
    for (size_t first : firsts) start(first);
    for (DeviceSet used = 1; used < all_; ++used) {
      if (present_[used] == 0) continue;
      for (size_t next = 0; next < space_.units.size(); ++next) {
        if (may_use(next, used)) extend(used, next);
      }
    }
  }

  // Keeps those of costs_[low … high] that may still lead to something better.
  void keep(DeviceSet used, size_t unit, int32_t low, int32_t high) {
    const auto rest = bound_.after(all_ & ~used);
    const double most = best_sum_ * kLess - least_back_;
    int32_t first = high + 1, last = low - 1;
    for (int32_t end = low; end <= high; ++end) {
      auto& cost = costs_[static_cast<size_t>(end)];
      if (!(cost + rest[static_cast<size_t>(end)] < most)) {
        cost = kNever;
        continue;
      }
      first = std::min(first, end);
      last = end;
    }
    if (first > last) return;
    present_[used] |= UnitSet{1} << unit;
    kept(used, unit) = {pool_.size(), first, last};
    for (auto end = static_cast<size_t>(first); end <= static_cast<size_t>(last); ++end) {
      pool_.push_back(costs_[end]);
      steps_.push_back({begins_[end], units_[end]});
    }
  }

  void start(size_t first) {
    const SearchUnit& unit = space_.units[first];
    int32_t high = 0;
    for (int32_t end = 1; end <= unit.first_end; ++end) {
      const double cost = unit.stage(0, end);
      if (cost > most_ms_) break;
      if (end == space_.n_layers) {
        if (enough(unit.set) && cost < best_sum_ * kLess) take({{first, 0, end}});
        break;
      }
      costs_[static_cast<size_t>(end)] = cost;
      begins_[static_cast<size_t>(end)] = 0;
      units_[static_cast<size_t>(end)] = -1;
      high = end;
    }
    keep(unit.set, first, 1, high);
  }

  // The cheapest way to each number of layers with `used`, ready to hop to `next`, into before_ and from_.
  bool gather(DeviceSet used, size_t next, int32_t& low, int32_t& high) {
    low = space_.n_layers;
    high = 0;
    for (UnitSet left = present_[used]; left != 0; left &= left - 1) {
      const auto last = static_cast<size_t>(std::countr_zero(left));
      if (space_.transfer_of(last, next) > most_ms_) continue;
      const Kept& from = kept(used, last);
      const double hop = space_.hop_of(last, next);
      if (low > high) {
        low = from.low;
        high = from.high;
        std::fill(before_.begin() + low, before_.begin() + high + 1, kNever);
      }
      for (; low > from.low; --low) before_[static_cast<size_t>(low) - 1] = kNever;
      for (; high < from.high; ++high) before_[static_cast<size_t>(high) + 1] = kNever;
      const double* costs = pool_.data() + from.at;
      for (int32_t end = from.low; end <= from.high; ++end) {
        const double cost = costs[end - from.low] + hop;
        if (cost >= before_[static_cast<size_t>(end)]) continue;
        before_[static_cast<size_t>(end)] = cost;
        from_[static_cast<size_t>(end)] = static_cast<int16_t>(last);
      }
    }
    return low <= high;
  }

  // The best begin for each end of a stage on `next`: a sliding minimum.
  void extend(DeviceSet used, size_t next) {
    int32_t low = 0, high = 0;
    if (!gather(used, next, low, high)) return;
    const SearchUnit& unit = space_.units[next];
    const auto key = [&](int32_t at) {
      return before_[static_cast<size_t>(at)] - unit.until[static_cast<size_t>(at)];
    };
    size_t head = 0, tail = 0;
    int32_t start = 1, most = low;
    for (int32_t end = low + 1; end <= space_.n_layers; ++end) {
      const int32_t newest = end - 1;
      if (newest <= high && before_[static_cast<size_t>(newest)] < kNever) {
        while (tail > head && key(queue_[tail - 1]) > key(newest)) --tail;
        queue_[tail++] = newest;
      }
      start = std::max(start, unit.earliest[static_cast<size_t>(end)]);
      while (start < end && unit.stage(start, end) > most_ms_) ++start;
      while (head < tail && queue_[head] < start) ++head;
      const auto at = static_cast<size_t>(end);
      costs_[at] = kNever;
      if (head == tail) {
        if (newest >= high) break;
        continue;
      }
      const int32_t begin = queue_[head];
      costs_[at] = before_[static_cast<size_t>(begin)] + unit.stage(begin, end);
      begins_[at] = static_cast<int16_t>(begin);
      units_[at] = from_[static_cast<size_t>(begin)];
      most = end;
    }
    const DeviceSet now = used | unit.set;
    if (most == space_.n_layers) {
      const double back = space_.back_of(next, several_ ? next == 0 ? size_t{1} : size_t{0} : first_);
      const double sum = costs_.back() + back;
      if (enough(now) && sum < best_sum_ * kLess) finish(now, next, begins_.back(), units_.back());
      --most;
    }
    keep(now, next, low + 1, most);
  }

  void finish(DeviceSet used, size_t unit, int32_t begin, int16_t before) {
    std::vector<RingStage> stages{{unit, begin, space_.n_layers}};
    while (before >= 0) {
      used &= ~set_of(stages.back().unit);
      const Kept& from = kept(used, static_cast<size_t>(before));
      const int32_t end = stages.back().begin;
      const Step& step = steps_[from.at + static_cast<size_t>(end - from.low)];
      stages.push_back({static_cast<size_t>(before), step.begin, end});
      before = step.unit_before;
    }
    std::reverse(stages.begin(), stages.end());
    take(std::move(stages));
  }

  void take(std::vector<RingStage> stages) {
    best_ = Ring{std::move(stages), 0, 0, true};
    best_->sum = ring_sum(space_, best_->stages);
    best_->bottleneck = ring_bottleneck(space_, best_->stages);
    best_sum_ = best_->sum;
  }

  const SearchSpace& space_;
  const double most_ms_;
  const size_t size_;
  const DeviceSet all_;
  const std::vector<int> twins_;
  std::optional<Ring> best_;
  double best_sum_;
  const CompletionBound bound_;
  std::vector<UnitSet> present_;  // [set] last units that have a state
  std::vector<Kept> kept_;        // [set × units], where present
  std::vector<double> pool_;      // costs of states
  std::vector<Step> steps_;       // likewise
  size_t first_ = 0;
  bool several_ = false;
  double least_back_ = 0;
  // [n_layers + 1], of the extension under way
  std::vector<double> before_, costs_;
  std::vector<int16_t> from_, begins_, units_;
  std::vector<int32_t> queue_;
};

}  // namespace

std::optional<Ring> search_least_sum(const SearchSpace& space, const std::optional<Ring>& known, double most_ms) {
  if (space.units.empty()) return std::nullopt;
  return LeastSum(space, known, most_ms).run();
}

}  // namespace exo::cluster
