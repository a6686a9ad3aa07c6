#include "net/virtual_clock.h"

namespace exo::net {

TimerId VirtualClock::run_after(Duration delay, std::function<void()> callback) {
  const TimerId id = next_++;
  const TimePoint at = now_ + std::max(delay, Duration(0));
  events_.emplace(std::pair(at, id), std::move(callback));
  due_.emplace(id, at);
  return id;
}

void VirtualClock::cancel(TimerId timer) {
  const auto found = due_.find(timer);
  if (found == due_.end()) return;
  events_.erase({found->second, timer});
  due_.erase(found);
}

bool VirtualClock::run_one() {
  if (events_.empty()) return false;
  auto event = events_.extract(events_.begin());
  now_ = event.key().first;
  due_.erase(event.key().second);
  event.mapped()();
  return true;
}

void VirtualClock::run_until(TimePoint end) {
  while (!events_.empty() && events_.begin()->first.first <= end) run_one();
  now_ = std::max(now_, end);
}

bool VirtualClock::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = now_ + limit;
  while (!condition()) {
    if (events_.empty() || events_.begin()->first.first > end) {
      now_ = std::max(now_, end);
      return condition();
    }
    run_one();
  }
  return true;
}

}  // namespace exo::net
