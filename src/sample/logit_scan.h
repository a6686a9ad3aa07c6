#pragma once
// Passes over all logits of a row, in the widest vectors of the processor. Every result is the same to the last bit
// on every machine: sums are made in an order that does not depend on the width of vectors.

#include <cstddef>
#include <cstdint>
#include <span>

namespace exo::sample {

// kLowestLogit when there is none; NaN is passed over.
float max_of(std::span<const float> logits);

// The first index from `begin` whose logit is greater than `bound`, or equal to `value`; logits.size() when there
// is none.
size_t find_above(std::span<const float> logits, size_t begin, float bound);
size_t find_equal(std::span<const float> logits, size_t begin, float value);

// Highway's bits of the instruction sets that these functions were compiled for; tests try each.
int64_t logit_scan_targets();

struct ExpTerms {
  double largest = 0;  // subtracted from each logit
  double scale = 1;    // of the difference: 1 / temperature
  double least;        // lower logits count nothing
};

// e^((logit - largest) × scale) as sums count it: 0 for NaN and below `least`, +inf as the largest finite float.
double exp_term(float logit, const ExpTerms& terms);
// The sum of exp_term over all, in eight partial sums.
double exp_sum(std::span<const float> logits, const ExpTerms& terms);

}  // namespace exo::sample
