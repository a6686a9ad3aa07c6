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
    case kA4_BF16:
      return use(RowsA4_BF16<Isa>()), true;
    case kQ5_0:
      return use(RowsQ5_0<Isa>()), true;
    case kQ5_1:
      return use(RowsQ5_1<Isa>()), true;
    case kA5_BF16:
      return use(RowsA5_BF16<Isa>()), true;
    case kA8_BF16:
      return use(RowsA8_BF16<Isa>()), true;
    case kA8_F16:
      return use(RowsA8_F16<Isa>()), true;
    case kQ8_0:
      return use(RowsQ8_0<Isa>()), true;
    case kIQ4_NL:
      return use(RowsIQ4_NL<Isa>()), true;
    case kMXFP4:
      return use(RowsMXFP4<Isa>()), true;
    case kNVFP4:
      return use(RowsNVFP4<Isa>()), true;
    case kQ2_K:
      return use(RowsQ2_K<Isa>()), true;
    case kQ3_K:
      return use(RowsQ3_K<Isa>()), true;
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

template <typename Isa>
int straight_columns(ElementType type) {
  int columns = 0;
  with_format<Isa>(type, [&](auto format) {
    using Format = decltype(format);
    columns = Isa::kMostStraight;
    if constexpr (requires { Format::kMostColumns; }) columns = std::min(columns, Format::kMostColumns);
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
