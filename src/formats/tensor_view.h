#pragma once
// A tensor as it lies in a file: nothing is copied until an operation reads it.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/element_type.h"
#include "base/result.h"

namespace exo::formats {

// The bytes of a tensor that do not lie in one piece in a file: they are put together or converted from other
// tensors when somebody asks for them. Any thread.
class TensorContent {
 public:
  virtual ~TensorContent() = default;
  // Bytes [offset, offset + out.size()) of the tensor, which lie inside it. kCorrupt when the source is no good.
  virtual Status read(uint64_t offset, std::span<std::byte> out) const = 0;
  // The tensor's equal parts along its outermost dimension, where each lies whole in a file (experts that are
  // stored one by one): they can be used in place. Empty: the bytes have to be read.
  virtual std::span<const std::span<const std::byte>> parts() const { return {}; }
};

// Row-major; shape[0] is the fastest (row length), as ggml writes it: a weight of `out` rows of `in` elements has
// shape {in, out, 1, 1}. Its rows are whole blocks of `type`. data.size() is exactly the tensor's bytes, or 0 when
// `content` has them instead.
struct TensorView {
  std::string name;
  ElementType type = ElementType::kF32;
  int32_t n_dimensions = 1;
  std::array<int64_t, 4> shape = {1, 1, 1, 1};
  std::span<const std::byte> data;
  std::shared_ptr<const TensorContent> content;  // nullptr: `data` has the bytes
  uint64_t file_offset = 0;                      // of data in its file, for byte-range transfers
  int32_t file_part = 0;                         // which file of a split model

  int64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
  int64_t rows() const { return shape[1] * shape[2] * shape[3]; }
  uint64_t bytes() const {
    return *row_bytes(type, static_cast<uint64_t>(shape[0])) * static_cast<uint64_t>(rows());
  }
  // Bytes [offset, offset + out.size()) of the tensor, which lie inside it, wherever they are.
  Status read(uint64_t offset, std::span<std::byte> out) const {
    if (content != nullptr) return content->read(offset, out);
    std::ranges::copy(data.subspan(offset, out.size()), out.begin());
    return {};
  }
};

}  // namespace exo::formats
