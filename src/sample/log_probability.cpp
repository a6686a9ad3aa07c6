#include "sample/log_probability.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sample/logit_scan.h"
#include "sample/select_best.h"

namespace exo::sample {

float LogSum::log_probability(float logit) const {
  if (std::isnan(logit) || largest == kLowestLogit) return kLowestLogit;
  return static_cast<float>(static_cast<double>(std::min(logit, kLargestLogit)) - largest - log_rest);
}

LogSum log_sum(std::span<const float> logits) {
  const float largest = std::min(max_of(logits), kLargestLogit);
  const double sum = exp_sum(logits, {largest, 1, -HUGE_VAL});
  return {largest, std::log(std::max(sum, std::numeric_limits<double>::min()))};
}

std::vector<std::pair<TokenId, float>> most_probable(std::span<const float> logits, const LogSum& sum,
                                                     int32_t count) {
  std::vector<std::pair<TokenId, float>> result;
  if (count <= 0) return result;
  std::vector<Candidate> best;
  select_best(logits, static_cast<size_t>(count), best);
  for (const Candidate& candidate : best)
    result.emplace_back(TokenId(candidate.id), sum.log_probability(candidate.logit));
  return result;
}

}  // namespace exo::sample
