#include "serve/speculation.h"

#include <algorithm>
#include <cmath>

namespace exo::serve {
namespace {

constexpr double kForgetCost = 0.95;       // per step, of what was measured before
constexpr double kForget = 0.8;            // per step, of what was learned before
constexpr double kLeastAcceptance = 0.02;  // never given up for good: texts change
constexpr double kMostAcceptance = 0.98;

}  // namespace

void StepCostEstimate::measure(int32_t rows, double trip_s) {
  const double x = rows;
  n_ = kForgetCost * n_ + 1;
  rows_ = kForgetCost * rows_ + x;
  seconds_ = kForgetCost * seconds_ + trip_s;
  rows_squared_ = kForgetCost * rows_squared_ + x * x;
  product_ = kForgetCost * product_ + x * trip_s;
}

StepCost StepCostEstimate::cost() const {
  if (n_ == 0) return {};
  const double mean_rows = rows_ / n_, mean_s = seconds_ / n_;
  const double variance = rows_squared_ / n_ - mean_rows * mean_rows;
  double per_row = mean_s / (3 + mean_rows);
  if (variance > 0.05)
    per_row = std::clamp((product_ / n_ - mean_rows * mean_s) / variance, 0.0, mean_s / mean_rows);
  return {std::max(mean_s - (mean_rows - 1) * per_row, mean_s / 100), per_row};
}

double Speculation::acceptance() const { return std::clamp(right_ / tried_, kLeastAcceptance, kMostAcceptance); }

Window Speculation::window(const StepCost& cost, int32_t most, const GuessCost& guess) const {
  const double p = acceptance();
  if (cost.fixed_s <= 0) return {std::min(most, 2), 0};  // not measured yet
  Window best{0, 1 / cost.fixed_s};
  double tokens = 1, power = 1;
  for (int32_t k = 1; k <= most; ++k) {
    power *= p;
    tokens += power;
    const double making_s = std::max(k - guess.ready, 0) * guess.each_s;
    const double rate = tokens / (cost.fixed_s + k * cost.per_row_s + making_s);
    if (rate > best.tokens_per_s) best = {k, rate};
  }
  return best;
}

double Speculation::expected_ahead(size_t before, int32_t rows) const {
  const double p = acceptance();
  return std::pow(p, static_cast<double>(before + 1)) * (1 - std::pow(p, rows)) / (1 - p);
}

void Speculation::learn(int32_t guessed, int32_t right) {
  if (guessed <= 0) return;
  // Guesses after the first wrong one were not tried.
  right_ = kForget * right_ + right;
  tried_ = kForget * tried_ + right + (right < guessed ? 1 : 0);
}

}  // namespace exo::serve
