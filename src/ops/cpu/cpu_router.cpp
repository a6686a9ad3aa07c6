#include "ops/cpu/cpu_router.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace exo::ops {
namespace {

constexpr float kOut = -std::numeric_limits<float>::infinity();

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

void softmax(std::span<const float> logits, std::span<float> out) {
  const float most = *std::ranges::max_element(logits);
  float sum = 0.0f;
  for (size_t i = 0; i < logits.size(); ++i) {
    out[i] = std::exp(logits[i] - most);
    sum += out[i];
  }
  for (float& p : out) p /= sum;
}

// Indices of the best `chosen.size()` values, best first, of equals the lower one first. NaN is as bad as
// -infinity. Overwrites the values: those that are chosen become NaN.
void choose_best(std::span<float> values, std::span<int32_t> chosen) {
  constexpr float kTaken = std::numeric_limits<float>::quiet_NaN();
  for (float& value : values) {
    if (std::isnan(value)) value = kOut;
  }
  for (int32_t& choice : chosen) {
    size_t best = values.size();
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(values[i])) continue;
      if (best == values.size() || values[i] > values[best]) best = i;
    }
    choice = static_cast<int32_t>(best);
    values[best] = kTaken;
  }
}

// `experts` were chosen in this order; `scores` are logits.
void weigh_among_near(std::span<const float> scores, std::span<const int32_t> experts, std::span<float> weights) {
  constexpr float kNear = 0.02f;
  for (size_t i = 0; i < experts.size(); ++i) {
    const float best = scores[static_cast<size_t>(experts[i])];
    const auto earlier = experts.first(i);
    float sum = 0.0f;
    for (size_t e = 0; e < scores.size(); ++e) {
      if (std::ranges::find(earlier, static_cast<int32_t>(e)) != earlier.end()) continue;
      if (best - scores[e] <= kNear * std::max(std::abs(scores[e]), best)) sum += std::exp(scores[e] - best);
    }
    weights[i] = 1.0f / sum;
  }
}

float best_of_group(std::span<const float> values, bool best_two) {
  float first = kOut, second = kOut;
  for (const float value : values) {
    if (value > first) {
      second = first;
      first = value;
    } else if (value > second) {
      second = value;
    }
  }
  return best_two && values.size() > 1 ? first + second : first;
}

// Experts outside the best groups are not to be chosen. `values` of n_groups equal groups; `scratch`: twice
// n_groups floats.
void keep_best_groups(std::span<float> values, const RoutingParams& params, float* scratch) {
  const auto n_groups = static_cast<size_t>(params.n_groups), size = values.size() / n_groups;
  const std::span groups(scratch, n_groups);
  for (size_t g = 0; g < n_groups; ++g) {
    groups[g] = best_of_group(values.subspan(g * size, size), params.groups_by_best_two);
  }
  auto* chosen = reinterpret_cast<int32_t*>(scratch + n_groups);
  choose_best(groups, {chosen, static_cast<size_t>(params.n_groups_chosen)});
  for (size_t g = 0; g < n_groups; ++g) {
    if (!std::isnan(groups[g])) std::ranges::fill(values.subspan(g * size, size), kOut);  // NaN: chosen
  }
}

}  // namespace

int64_t router_scratch_floats(int64_t n_experts, int64_t n_groups) { return 2 * (n_experts + n_groups); }

void route_row(std::span<const float> logits, const RoutingParams& params, float* scratch,
               std::span<int32_t> experts, std::span<float> weights) {
  const size_t n = logits.size();
  const std::span scores(scratch, n), selection(scratch + n, n);
  if (params.score == ExpertScore::kSoftmax) {
    softmax(logits, scores);
  } else if (params.score == ExpertScore::kSigmoid) {
    std::ranges::transform(logits, scores.begin(), sigmoid);
  } else {
    std::ranges::copy(logits, scores.begin());
  }
  for (size_t i = 0; i < n; ++i) {
    selection[i] = scores[i] + (params.selection_bias ? params.selection_bias.data[i] : 0.0f);
  }
  if (params.n_groups > 1) keep_best_groups(selection, params, scratch + 2 * n);
  choose_best(selection, experts);
  for (size_t i = 0; i < experts.size(); ++i) weights[i] = scores[static_cast<size_t>(experts[i])];
  if (params.score == ExpertScore::kSoftmaxOfChosen) softmax(weights, weights);
  if (params.score == ExpertScore::kSoftmaxOfNear) weigh_among_near(scores, experts, weights);
  float factor = params.scale;
  if (params.normalize) {
    float sum = 0.0f;
    for (const float weight : weights) sum += weight;
    factor /= std::max(sum, std::numeric_limits<float>::min());
  }
  for (float& weight : weights) weight *= factor;
}

}  // namespace exo::ops
