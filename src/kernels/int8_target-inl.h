// What int8_targets() offers, for the instruction set of the file that includes this.

#pragma once

#include "kernels/int8_multiply-inl.h"
#include "kernels/int8_pack-inl.h"
#include "kernels/int8_straight-inl.h"

namespace exo::kernels {
namespace {

template <typename Isa>
constexpr Int8Target int8_target(std::string_view name, decltype(Int8Target::multiply) multiply_panels) {
  return {.name = name,
          .unsigned_panels = Isa::kUnsigned,
          .pack = pack<Isa>,
          .multiply = multiply_panels,
          .multiply_rows = multiply_rows<Isa>,
          .straight_columns = straight_columns<Isa>};
}

template <typename Isa>
constexpr Int8Target int8_target(std::string_view name) {
  return int8_target<Isa>(name, multiply<Isa>);
}

}  // namespace
}  // namespace exo::kernels
