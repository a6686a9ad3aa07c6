#include <limits>

#include "wire/messages.h"

namespace exo::wire {
namespace {

uint32_t saturated(int64_t us) {
  return static_cast<uint32_t>(std::clamp<int64_t>(us, 1, std::numeric_limits<uint32_t>::max()));
}

}  // namespace

void ComputeTime::add(std::chrono::nanoseconds time) {
  const uint32_t us = saturated(time / std::chrono::microseconds(1));
  slowest_us = std::max(slowest_us, us);
  all_us = saturated(int64_t{all_us} + us);
}

}  // namespace exo::wire
