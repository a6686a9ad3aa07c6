// Which products are computed straight from the rows' bytes, and how, by format and number of columns. Included by
// one file per instruction set; Isa::kMostStraight is the number of columns from which packing is the faster.

#include "kernels/int8_columns-inl.h"
#include "kernels/int8_rows-inl.h"

namespace exo::kernels {
namespace {

// Calls use.operator()<Format>() with what is known of the format; false, and no call, for others.
template <typename Isa, typename Use>
bool with_format(ElementType type, Use use) {
  switch (type) {
    using enum ElementType;
    case kQ4_0:
      return use(RowsQ4_0<Isa>()), true;
    case kQ4_1:
      return use(RowsQ4_1<Isa>()), true;
    case kQ8_0:
      return use(RowsQ8_0<Isa>()), true;
    case kIQ4_NL:
      return use(RowsIQ4_NL<Isa>()), true;
    case kMXFP4:
      return use(RowsMXFP4<Isa>()), true;
    case kQ4_K:
      return use(RowsQ4_K<Isa>()), true;
    case kQ5_K:
      return use(RowsQ5_K<Isa>()), true;
    case kQ6_K:
      return use(RowsQ6_K<Isa>()), true;
    case kIQ4_XS:
      return use(RowsIQ4_XS<Isa>()), true;
    default:
      return false;
  }
}

// Blocks whose bits are spread over all of them take more registers than there are when columns are many.
template <typename Isa>
int straight_columns(ElementType type) {
  int columns = 0;
  with_format<Isa>(type, [&](auto format) {
    columns = decltype(format)::kTogether > 2 ? std::min(4, Isa::kMostStraight) : Isa::kMostStraight;
  });
  return columns;
}

// Groups done.
template <typename Isa, typename Format>
int64_t multiply_rows(const RowsProduct& p) {
  RowsAsked asked(p);
  for (int64_t first = 0; first < p.groups; first += kGroupsPerSuper) {
    const int64_t count = std::min<int64_t>(kGroupsPerSuper, p.groups - first);
    const ActivationBlock* x = p.x + first / kGroupsPerSuper * p.x_stride;
    // Half-groups have two sums to turn, which costs more than turning the words.
    if (p.n_columns == 1 && !(Format::kHalf && count == kGroupsPerSuper)) {
      rows_product<Isa, Format>(p.rows, asked, first, count, *x, p.y);
    } else if (count == kGroupsPerSuper) {
      columns_product<Isa, Format>(p.rows, asked, first, x, p.n_columns, p.y, p.y_stride);
    } else {
      return first;
    }
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
