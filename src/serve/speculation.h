#pragma once
// How many tokens to guess for a sequence. A wrong guess costs the time of its row, a right one saves a trip around
// the ring; what pays depends on how often guesses were right and on what a trip costs beside its rows.

#include <cstddef>
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

// How long guesses take to make: those that are there already nothing.
struct GuessCost {
  int32_t ready = 0;
  double each_s = 0;  // of the others, one after the other, before the step can begin
};

struct Window {
  int32_t guesses = 0;
  double tokens_per_s = 0;  // expected; 0: not known, since no step has been measured
};

// What is known of one source of guesses for one sequence.
class Speculation {
 public:
  // Starts as if a few guesses had been seen, this part of them right: a first window is short.
  explicit Speculation(double acceptance = 0.5) : right_(3 * acceptance) {}

  // The number of guesses, 0…most, with the best expected tokens per second: a window of k guesses that are right
  // with probability p each yields (1 − p^(k+1)) / (1 − p) tokens in fixed + k · per_row and what making them takes
  // (Leviathan et al. 2023).
  Window window(const StepCost& cost, int32_t most, const GuessCost& guess = {}) const;
  // Expected tokens of a step of `rows` guesses, behind `before` others that are not known to be right yet.
  double expected_ahead(size_t before, int32_t rows) const;
  // What became of `guessed` guesses: the first `right` of them were right.
  void learn(int32_t guessed, int32_t right);
  double acceptance() const;  // estimated probability that a guess is right

 private:
  double right_, tried_ = 3;  // outcomes so far, older ones counting less
};

}  // namespace exo::serve
