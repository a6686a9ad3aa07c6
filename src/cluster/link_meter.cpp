#include "cluster/link_meter.h"

#include <algorithm>
#include <cstddef>

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kFirstBurst = 16 << 10;
constexpr double kLongEnoughUs = 10'000;  // a burst that takes so long is timed well
constexpr double kLeastUs = 20;           // what the clock and the event loops resolve
constexpr uint64_t kAnswersBefore = 3;    // round trips to know before a burst
constexpr net::Duration kRest = 30s, kLifetime = 10min;

}  // namespace

void LinkMeter::on_answer(uint32_t bytes, net::Duration elapsed, net::TimePoint now) {
  const double us = std::max(1.0, std::chrono::duration<double, std::micro>(elapsed).count());
  if (bytes == 0) {
    // RFC 6298's gain of an eighth.
    round_trip_us_ = round_trip_us_ == 0 ? us : round_trip_us_ + (us - round_trip_us_) / 8;
    recent_us_[static_cast<size_t>(answers_++) % recent_us_.size()] = us;
    return;
  }
  const double transfer_us = us - least_us();
  if (transfer_us >= kLongEnoughUs || bytes >= most_bytes_) {
    // The largest burst alone counts: of small ones the jitter of the round trip makes anything.
    bandwidth_ = bytes / std::max(transfer_us, kLeastUs) * 1e6;
    return finish(now);
  }
  burst_ = std::min(bytes * 4, most_bytes_);
}

void LinkMeter::finish(net::TimePoint now) {
  burst_ = 0;
  measured_at_ = now;
  round_trip_then_us_ = least_us();
}

double LinkMeter::least_us() const {
  const auto known = std::min(static_cast<size_t>(answers_), recent_us_.size());
  return known == 0
             ? 0
             : *std::min_element(recent_us_.begin(), recent_us_.begin() + static_cast<std::ptrdiff_t>(known));
}

uint32_t LinkMeter::next_burst(net::TimePoint now) const {
  if (most_bytes_ == 0 || answers_ < kAnswersBefore) return 0;
  if (burst_ > 0) return burst_;
  if (!measured_at_) return std::min(kFirstBurst, most_bytes_);
  const net::Duration age = now - *measured_at_;
  const bool degraded = least_us() > 2 * round_trip_then_us_ + 1000;
  return age > kLifetime || (degraded && age > kRest) ? std::min(kFirstBurst, most_bytes_) : 0;
}

}  // namespace exo::cluster
