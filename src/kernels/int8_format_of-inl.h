// The formats by their element types. Included by one file per instruction set.

#pragma once

#include "kernels/int8_formats_32-inl.h"
#include "kernels/int8_formats_k-inl.h"

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

}  // namespace
}  // namespace exo::kernels
