#pragma once
// Tells the time in which this device ran from that in which it was stopped (SIGSTOP, a sleeping laptop, a machine
// that is too busy). Whoever waits looks at the time every now and then; between two looks at most kLongestStep
// counts. Pure.

#include <algorithm>
#include <chrono>

#include "net/clock.h"

namespace exo::net {

// Well below the second of silence after which a link is given up, and above what a busy machine keeps a thread
// waiting.
inline constexpr Duration kLongestStep = std::chrono::milliseconds(250);
// How often to look.
inline constexpr Duration kPulse = std::chrono::milliseconds(100);

// The system's monotonic time, sleep of the machine included.
Duration time_with_sleep();

class RunningTime {
 public:
  // `now`, here and below: since any moment, the same in all calls.
  explicit RunningTime(Duration now) : seen_(now), running_(now) {}

  TimePoint look(Duration now) {
    const Duration passed = std::max(Duration(0), now - seen_);
    const Duration counted = std::min(passed, kLongestStep);
    seen_ += passed;
    running_ += counted;
    left_out_ += passed - counted;
    return running_;
  }
  Duration left_out() const { return left_out_; }

 private:
  Duration seen_;
  TimePoint running_;
  Duration left_out_{0};
};

// Of a thread without a Clock, which asks at least every kPulse.
class RunningDeadline {
 public:
  explicit RunningDeadline(Duration after)
      : time_(time_with_sleep()), until_(time_.look(time_with_sleep()) + after) {}

  // What is left of it; zero when it has passed.
  Duration rest() { return std::max(Duration(0), until_ - time_.look(time_with_sleep())); }
  bool passed() { return rest() == Duration(0); }

 private:
  RunningTime time_;
  TimePoint until_;
};

}  // namespace exo::net
