#pragma once
// The largest of many logits without sorting them all. NaN is passed over, +inf counts as the largest finite float.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace exo::sample {

inline constexpr float kLowestLogit = -std::numeric_limits<float>::infinity();
inline constexpr float kLargestLogit = std::numeric_limits<float>::max();

struct Candidate {
  float logit;
  int32_t id;
};

// Replaces `best` by the `count` largest, best first; of equals the lowest id comes first. O(n) for small counts.
void select_best(std::span<const float> logits, size_t count, std::vector<Candidate>& best);

}  // namespace exo::sample
