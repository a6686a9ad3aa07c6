#pragma once
// Bandwidth of one link: pings that carry a burst of bytes, timed against pings that carry none. Bursts grow
// fourfold until one takes long enough to be timed well, so that a slow link is not held up for long. No I/O;
// network thread.

#include <array>
#include <cstdint>
#include <optional>

#include "net/clock.h"

namespace exo::cluster {

class LinkMeter {
 public:
  LinkMeter() = default;                                                // of a link that is not measured
  explicit LinkMeter(uint32_t most_bytes) : most_bytes_(most_bytes) {}  // of a burst

  // The answer to a ping of `bytes` came after `elapsed`.
  void on_answer(uint32_t bytes, net::Duration elapsed, net::TimePoint now);
  // How many bytes the next ping should carry; mostly 0. Measures at first, then again when round trips have more
  // than doubled since (the link degraded) or ten minutes have passed, but not within half a minute.
  uint32_t next_burst(net::TimePoint now) const;

  double round_trip_us() const { return round_trip_us_; }      // smoothed; 0: unknown
  double bandwidth_bytes_per_s() const { return bandwidth_; }  // 0: unknown

 private:
  void finish(net::TimePoint now);
  double least_us() const;  // of the recent round trips

  uint32_t most_bytes_ = 0;
  uint32_t burst_ = 0;  // of the measurement under way; 0: none is
  double round_trip_us_ = 0;
  std::array<double, 8> recent_us_{};  // round trips
  uint64_t answers_ = 0;
  double bandwidth_ = 0, round_trip_then_us_ = 0;
  std::optional<net::TimePoint> measured_at_;
};

}  // namespace exo::cluster
