#pragma once
// A tensor as it lies in a file: nothing is copied until an operation reads it.

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "base/element_type.h"

namespace exo::formats {

// Row-major; shape[0] is the fastest (row length), as ggml writes it: a weight of `out` rows of `in` elements has
// shape {in, out, 1, 1}. data.size() is exactly the tensor's bytes; its rows are whole blocks of `type`.
struct TensorView {
  std::string name;
  ElementType type = ElementType::kF32;
  int32_t n_dimensions = 1;
  std::array<int64_t, 4> shape = {1, 1, 1, 1};
  std::span<const std::byte> data;
  uint64_t file_offset = 0;  // of data in its file, for byte-range transfers
  int32_t file_part = 0;     // which file of a split model

  int64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
  int64_t rows() const { return shape[1] * shape[2] * shape[3]; }
};

}  // namespace exo::formats
