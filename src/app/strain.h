#pragma once
// When a device should give its stages away because it is in need itself: memory nearly gone, battery nearly empty.

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "net/clock.h"

namespace exo::app {

struct StrainReading {
  uint64_t memory_total_bytes = 0, memory_available_bytes = 0;
  double memory_stall_percent = 0;        // of the last 10 s, in which everything waited for memory
  std::optional<double> battery_percent;  // when it has one
  bool discharging = false;
};

// What this system says; `root` is "/" but in tests. What it does not say reads as no strain.
StrainReading read_strain(const std::filesystem::path& root = "/");

// Memory: below the floor for kMemoryPatience; well again above twice the floor for kMemoryRelief. The floor is 2 %
// of the memory and at least 128 MiB, at most 1 GiB. Stalls of a third of the time count as well, when less than a
// tenth is available. Battery: below 10 % and discharging, until it is charged or above 15 %.
class StrainJudge {
 public:
  static constexpr net::Duration kMemoryPatience = std::chrono::seconds(5);
  static constexpr net::Duration kMemoryRelief = std::chrono::seconds(30);

  // Why the device should withdraw now; empty: it need not. To be called every few seconds.
  std::string judge(const StrainReading& reading, net::TimePoint now);

 private:
  std::optional<net::TimePoint> low_since_, well_since_;
  bool memory_low_ = false, battery_low_ = false;
};

}  // namespace exo::app
