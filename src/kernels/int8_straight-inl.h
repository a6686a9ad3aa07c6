// Which products are computed straight from the rows' bytes, and how, by format and number of columns. Included by
// one file per instruction set; Isa::kMostStraight is the number of columns up to which packing is the slower.

#include "kernels/int8_columns-inl.h"
#include "kernels/int8_format_of-inl.h"
#include "kernels/int8_rows-inl.h"

namespace exo::kernels {
namespace {

template <typename Isa>
int straight_columns(ElementType type) {
  return with_format<Isa>(type, [](auto) {}) ? Isa::kMostStraight : 0;
}

// Groups done.
template <typename Isa, typename Format>
int64_t multiply_rows(const RowsProduct& p) {
  RowsAsked asked(p);
  for (int64_t first = 0; first < p.groups; first += kGroupsPerSuper) {
    const int64_t count = std::min<int64_t>(kGroupsPerSuper, p.groups - first);
    const ActivationBlock* x = p.x + first / kGroupsPerSuper * p.x_stride;
    if constexpr (requires { Format::load; }) {
      // Half-groups have two sums to turn, which costs more than turning the words.
      if (p.n_columns == 1 && !(Format::kHalf && count == kGroupsPerSuper)) {
        rows_product<Isa, Format>(p.rows, asked, first, count, *x, p.y);
        continue;
      }
    }
    if (count < kGroupsPerSuper) return first;
    columns_product<Isa, Format>(p.rows, asked, first, x, p.n_columns, p.y, p.y_stride);
  }
  return p.groups;
}

template <typename Isa>
int64_t multiply_rows(ElementType type, const RowsProduct& product) {
  int64_t done = 0;
  with_format<Isa>(type, [&](auto format) { done = multiply_rows<Isa, decltype(format)>(product); });
  return done;
}

}  // namespace
}  // namespace exo::kernels
