#pragma once
// Probabilities of the raw logits: softmax over the whole vocabulary, in natural logs.

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace exo::sample {

// log of the sum of e^logit over all tokens, in two parts so that nothing overflows. The last bit of the logarithm
// is the C library's and may differ between machines; no choice depends on it.
struct LogSum {
  float largest = 0;
  double log_rest = 0;
  float log_probability(float logit) const;  // -inf for NaN
};
LogSum log_sum(std::span<const float> logits);

// The `count` most probable tokens, best first; of equals the lowest id.
std::vector<std::pair<TokenId, float>> most_probable(std::span<const float> logits, const LogSum& sum,
                                                     int32_t count);

}  // namespace exo::sample
