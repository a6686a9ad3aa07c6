#pragma once
// Durations counted by size, as Prometheus' histograms are: cumulative, with fixed upper bounds.

#include <array>
#include <cstdint>
#include <span>

namespace exo::serve {

class Histogram {
 public:
  // Seconds; what is longer is in `count` only.
  static constexpr std::array<double, 14> kBounds = {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5,
                                                     1,     2,    5,    10,   30,  60,  300};

  void observe(double seconds) {
    for (size_t i = 0; i < kBounds.size(); ++i) buckets_[i] += seconds <= kBounds[i];
    sum_s_ += seconds;
    ++count_;
  }
  std::span<const uint64_t, kBounds.size()> buckets() const { return buckets_; }  // observations ≤ each bound
  double sum_s() const { return sum_s_; }
  uint64_t count() const { return count_; }

 private:
  std::array<uint64_t, kBounds.size()> buckets_{};
  double sum_s_ = 0;
  uint64_t count_ = 0;
};

}  // namespace exo::serve
