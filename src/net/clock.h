#pragma once
// Time as a seam: real nodes run on the event loop's clock, simulated clusters on a virtual one.

#include <chrono>
#include <cstdint>
#include <functional>

namespace exo::net {

using Duration = std::chrono::nanoseconds;
// The system's monotonic time: of records of what happened when, which other threads measure too.
using SteadyPoint = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// Time in which this device ran: of all deadlines, and of all that tells how long somebody has been silent. While
// the process is stopped or the machine sleeps it stands still (running_time.h), so that nobody is given up for a
// silence in which it was this device that did not listen. Has no now() of its own: that is a Clock's.
struct RunningTimeline {
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<RunningTimeline, Duration>;
  static constexpr bool is_steady = true;
};
using TimePoint = RunningTimeline::time_point;
using TimerId = uint64_t;  // 0 is never given out

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
  // How much now() has left out so far because this device did not run. Who knows things that grow stale compares.
  virtual Duration stopped() const = 0;
  virtual SteadyPoint steady_now() const = 0;
  // Calls `callback` once on the network thread, not before now() + delay.
  virtual TimerId run_after(Duration delay, std::function<void()> callback) = 0;
  // Harmless for a timer that ran, was cancelled, or 0.
  virtual void cancel(TimerId timer) = 0;
  // Calls `callback` on the network thread as soon as it is free; the one method that any thread may call.
  virtual void post(std::function<void()> callback) = 0;
};

}  // namespace exo::net
