#pragma once
// How many tokens to guess for a sequence. A wrong guess costs the time of its row, a right one saves a trip around
// the ring; what pays depends on how often guesses were right and on what a trip costs beside its rows.

#include <cstdint>

namespace exo::serve {

// What a step costs, as measured by the scheduler.
struct StepCost {
  double fixed_s = 0;    // of a step with one row: links, weights read
  double per_row_s = 0;  // each further row
};

// A line through (rows, seconds) of the steps so far, newer ones counting more.
class StepCostEstimate {
 public:
  void measure(int32_t rows, double trip_s);
  // Zeros until something was measured. While all steps had as many rows, a row is taken for a quarter of a step.
  StepCost cost() const;

 private:
  double n_ = 0, rows_ = 0, seconds_ = 0, rows_squared_ = 0, product_ = 0;  // weighted sums
};

class Speculation {
 public:
  // The number of guesses, 0…most, with the best expected tokens per second: a window of k guesses that are right
  // with probability p each yields (1 − p^(k+1)) / (1 − p) tokens in fixed + k · per_row (Leviathan et al. 2023).
  int32_t window(const StepCost& cost, int32_t most) const;
  // What became of a step with `guessed` guesses: the first `right` of them were right.
  void learn(int32_t guessed, int32_t right);
  double acceptance() const;  // estimated probability that a guess is right

 private:
  // Outcomes so far, older ones counting less. Starts as if a few had been seen: a first window is short.
  double right_ = 1.5, tried_ = 3;
};

}  // namespace exo::serve
