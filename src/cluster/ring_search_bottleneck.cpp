// The fastest slowest stage or transfer, exhaustively, for up to kExactDevices devices: for a limit on all of them,
// the most layers that each set of devices can cover from the start; bisection over the limit.

#include <algorithm>
#include <bit>

#include "cluster/ring_bound.h"

namespace exo::cluster {
namespace {

class LeastBottleneck {
 public:
  LeastBottleneck(const SearchSpace& space, const std::optional<Ring>& known) : space_(space), best_(known) {}

  std::optional<Ring> run() {
    if (!best_) {
      // Without a limit: whatever fits at all.
      if (!covers(kNever)) return std::nullopt;
    }
    // Mostly the known ring is the best already, or the next better one is: every other look is just below.
    constexpr double kClose = 1e-10;
    double low = 0;
    for (bool just_below = true; best_->bottleneck - low > kClose * best_->bottleneck; just_below = !just_below) {
      const double most_ms = just_below ? best_->bottleneck * (1 - kClose / 2) : (low + best_->bottleneck) / 2;
      if (!covers(most_ms)) low = most_ms;
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
    for (DeviceSet used = 1; used < (DeviceSet{1} << space_.n_devices); ++used) {
      for (size_t w = 0; w < width; ++w) {
        const size_t at = used * width + w;
        if (reach_[at].end == 0) continue;
        if (reach_[at].end == space_.n_layers) return found(used, w, width);
        for (size_t u = 0; u < n; ++u) {
          if ((space_.units[u].set & used) != 0) continue;
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

  void advance(DeviceSet used, int32_t begin, size_t unit, int32_t before, size_t width) {
    const DeviceSet now = used | space_.units[unit].set;
    const int32_t later = std::max(0, space_.min_devices - std::popcount(now));
    const int32_t end = std::min(furthest_[unit][static_cast<size_t>(begin)], space_.n_layers - later);
    const size_t at = now * width + (width > 1 ? unit : 0);
    if (end <= begin || end <= reach_[at].end) return;
    reach_[at] = {end, begin, before};
    last_[at] = unit;
  }

  bool found(DeviceSet used, size_t w, size_t width) {
    std::vector<RingStage> stages;
    while (used != 0) {
      const size_t at = used * width + w;
      stages.push_back({last_[at], reach_[at].begin, reach_[at].end});
      used &= ~space_.units[last_[at]].set;
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
  std::optional<Ring> best_;
  bool links_bind_ = false;
  std::vector<std::vector<int32_t>> furthest_;  // [unit][begin]
  std::vector<Reach> reach_;                    // [used] or [used × units]
  std::vector<size_t> last_;
};

}  // namespace

std::optional<Ring> search_least_bottleneck(const SearchSpace& space, const std::optional<Ring>& known) {
  if (space.units.empty()) return std::nullopt;
  return LeastBottleneck(space, known).run();
}

}  // namespace exo::cluster
