#pragma once
// The clock of simulations: events at times, run one after the other.

#include <functional>
#include <map>
#include <unordered_map>
#include <utility>

#include "net/clock.h"

namespace exo::net {

// Time that passes only when told to. Events of one instant run in the order they were asked for. One thread only.
class VirtualClock : public Clock {
 public:
  TimePoint now() const override { return now_; }
  Duration stopped() const override { return Duration(0); }
  SteadyPoint steady_now() const override { return SteadyPoint(now_.time_since_epoch()); }
  TimerId run_after(Duration delay, std::function<void()> callback) override;
  void cancel(TimerId timer) override;
  void post(std::function<void()> callback) override { run_after(Duration(0), std::move(callback)); }

  bool run_one();  // the next event, at its time; false when there is none
  void run_until(TimePoint end);
  void advance(Duration duration) { run_until(now_ + duration); }
  // Runs events until `condition` holds (checked after each) or `limit` has passed; whether it holds.
  bool run_until(const std::function<bool()>& condition, Duration limit);
  size_t pending() const { return events_.size(); }

 private:
  TimePoint now_{std::chrono::hours(1)};
  TimerId next_ = 1;
  std::map<std::pair<TimePoint, TimerId>, std::function<void()>> events_;
  std::unordered_map<TimerId, TimePoint> due_;
};

}  // namespace exo::net
