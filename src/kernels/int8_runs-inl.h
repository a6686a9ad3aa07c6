// Loops over columns of which some are computed together.

#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "kernels/panel.h"

namespace exo::kernels {
namespace {

// run(number of columns, as a type) for runs of at most kMost of n, none of them much shorter than the others.
template <int kMost, typename Run>
EXO_INLINE void for_runs(int64_t n, Run run) {
  for (int64_t runs = (n + kMost - 1) / kMost; runs > 0; --runs) {
    const int64_t columns = (n + runs - 1) / runs;
    [&]<int... kLess>(std::integer_sequence<int, kLess...>) {
      (void)((columns == kLess + 1 && (run(std::integral_constant<int, kLess + 1>()), true)) || ...);
    }
    (std::make_integer_sequence<int, kMost>());
    n -= columns;
  }
}

}  // namespace
}  // namespace exo::kernels
