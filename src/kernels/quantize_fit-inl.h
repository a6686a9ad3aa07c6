#pragma once
// The scale (and minimum) with which a group of numbers loses least, in the least squares sense: for a number of
// trial scales the numbers are rounded, the best scale for these roundings follows in closed form, and the trial
// with the smallest error wins.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

namespace exo::kernels {

inline float inverse(float scale) { return scale == 0.0f ? 0.0f : 1.0f / scale; }

inline int round_to(float value, int low, int high) {
  return std::clamp(static_cast<int>(std::lrintf(value)), low, high);
}

// The element of largest magnitude, with its sign.
inline float extreme(const float* x, int n) {
  float result = 0.0f, largest = 0.0f;  // both, since clang 19 loses a sign of fabs(result)
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > largest) result = x[i], largest = std::fabs(x[i]);
  }
  return result;
}

// To the nearest whole number, for |value| < 2^22: what this loses in generality a compiler wins in vectors.
inline float round_small(float value) {
  constexpr float kShift = 12582912.0f;
  return (value + kShift) - kShift;
}

// Σ over a group in eight chains, which a compiler keeps in vectors.
template <int kN, typename F>
inline float sum_of(F term) {
  float chains[8] = {};
  for (int i = 0; i < kN; i += 8) {
    for (int j = 0; j < 8; ++j) chains[j] += term(i + j);
  }
  return ((chains[0] + chains[4]) + (chains[1] + chains[5])) + ((chains[2] + chains[6]) + (chains[3] + chains[7]));
}

// x ≈ scale * q for whole q in [low, high], low < 0 its larger end. The scale may be negative.
template <int kN>
float fit_scale(const float* x, int low, int high) {
  const float largest = extreme(x, kN);
  if (std::fabs(largest) < 1e-30f) return 0.0f;
  const auto least = static_cast<float>(low), most = static_cast<float>(high);
  float best = 0.0f, best_gain = -1.0f;
  for (int step = -9; step <= 9; ++step) {
    const float trial = (least + 0.1f * static_cast<float>(step)) / largest;
    float q[kN];
    for (int i = 0; i < kN; ++i) q[i] = round_small(std::min(std::max(x[i] * trial, least), most));
    const float xq = sum_of<kN>([&](int i) { return x[i] * q[i]; });
    const float qq = sum_of<kN>([&](int i) { return q[i] * q[i]; });
    if (qq > 0.0f && xq * (xq / qq) > best_gain) best_gain = xq * (xq / qq), best = xq / qq;
  }
  return best;
}

struct ScaleAndMinimum {
  float scale = 0.0f, minimum = 0.0f;
};

// x ≈ scale * q + minimum for whole q in [0, high]; scale ≥ 0. With `negative` the minimum is at most 0.
template <int kN>
ScaleAndMinimum fit_scale_and_minimum(const float* x, int high, bool negative) {
  float low = *std::min_element(x, x + kN);
  const float top = *std::max_element(x, x + kN);
  if (negative) low = std::min(low, 0.0f);
  if (!(top - low > 1e-30f)) return {0.0f, low};
  const auto most = static_cast<float>(high);
  const double n = kN;
  const double sum_x = sum_of<kN>([&](int i) { return x[i]; });
  ScaleAndMinimum best{(top - low) / most, low};
  double best_error = INFINITY;
  for (int step = -10; step <= 10; ++step) {
    const float trial = (most + 0.1f * static_cast<float>(step)) / (top - low);
    float q[kN];
    for (int i = 0; i < kN; ++i) q[i] = round_small(std::min(std::max((x[i] - low) * trial, 0.0f), most));
    const double sum_q = sum_of<kN>([&](int i) { return q[i]; });
    const double qq = sum_of<kN>([&](int i) { return q[i] * q[i]; });
    const double xq = sum_of<kN>([&](int i) { return x[i] * q[i]; });
    const double determinant = n * qq - sum_q * sum_q;
    if (determinant <= 0.0) continue;
    double scale = (n * xq - sum_x * sum_q) / determinant, minimum = (qq * sum_x - sum_q * xq) / determinant;
    if (negative && minimum > 0.0) minimum = 0.0, scale = xq / qq;
    // Without Σ x², which is the same for all.
    const double error =
        scale * scale * qq + n * minimum * minimum + 2.0 * (scale * minimum * sum_q - scale * xq - minimum * sum_x);
    if (error < best_error && scale >= 0.0) {
      best_error = error;
      best = {static_cast<float>(scale), static_cast<float>(minimum)};
    }
  }
  return best;
}

// The index of the value nearest to x; values rise, their number is a power of two.
template <size_t kN>
int nearest(std::span<const int8_t, kN> values, float x) {
  size_t index = 0;
  for (size_t step = kN / 2; step > 0; step /= 2) {
    const float middle = 0.5f * static_cast<float>(values[index + step - 1] + values[index + step]);
    index += x > middle ? step : 0;
  }
  return static_cast<int>(index);
}

// x ≈ scale * value for values of a rising list. The scale may be negative.
template <int kN>
float fit_scale_to_values(const float* x, std::span<const int8_t, 16> values) {
  const float largest = extreme(x, kN);
  if (std::fabs(largest) < 1e-30f) return 0.0f;
  float best = 0.0f, best_gain = -1.0f;
  for (int step = -7; step <= 7; ++step) {
    const float trial = (static_cast<float>(values.front()) + 3.0f * static_cast<float>(step)) / largest;
    float xq = 0.0f, qq = 0.0f;
    for (int i = 0; i < kN; ++i) {
      const auto q = static_cast<float>(values[static_cast<size_t>(nearest(values, x[i] * trial))]);
      xq += x[i] * q;
      qq += q * q;
    }
    if (qq > 0.0f && xq * (xq / qq) > best_gain) best_gain = xq * (xq / qq), best = xq / qq;
  }
  return best;
}

}  // namespace exo::kernels
