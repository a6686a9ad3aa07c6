#pragma once
// What the tests of the CPU's operations compute with.

#include <random>
#include <vector>

#include "ops/ops.h"

namespace exo::ops::testing {

// Normally distributed; the same for the same seed.
inline std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (auto& x : v) x = normal(generator);
  return v;
}

inline Tensor tensor(std::vector<float>& v, int64_t rows, int64_t cols) { return {v.data(), rows, cols, cols}; }

}  // namespace exo::ops::testing
