#pragma once
// Time as a seam: real nodes run on the event loop's clock, simulated clusters on a virtual one.

#include <chrono>
#include <cstdint>
#include <functional>

namespace exo::net {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;  // monotonic
using TimerId = uint64_t;                                                        // 0 is never given out

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  // Calls `callback` once on the network thread, not before now() + delay.
  virtual TimerId run_after(Duration delay, std::function<void()> callback) = 0;
  // Harmless for a timer that ran, was cancelled, or 0.
  virtual void cancel(TimerId timer) = 0;
  // Calls `callback` on the network thread as soon as it is free; the one method that any thread may call.
  virtual void post(std::function<void()> callback) = 0;
};

}  // namespace exo::net
