// CLOCK_MONOTONIC, std::chrono::steady_clock here, stands still while the machine sleeps.

#include <ctime>

#include "net/running_time.h"

namespace exo::net {

Duration time_with_sleep() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace exo::net
