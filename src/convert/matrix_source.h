#pragma once
// One weight as a model folder stores it, whichever way: plain numbers, FP8 with block scales, 4-bit groups of
// GPTQ, AWQ or MLX. What reads the folder works with this and does not know the difference.

#include <cstdint>
#include <memory>
#include <span>

#include "base/element_type.h"
#include "base/result.h"

namespace exo::convert {

// A matrix of rows() outputs by cols() inputs, row-major; vectors have one row. Immutable; any thread.
class MatrixSource {
 public:
  MatrixSource(ElementType type, int64_t rows, int64_t cols) : type_(type), rows_(rows), cols_(cols) {}
  virtual ~MatrixSource() = default;

  // The number format in which it is read: the one that keeps what the folder stores, as near as ggml's types
  // allow.
  ElementType type() const { return type_; }
  int64_t rows() const { return rows_; }
  int64_t cols() const { return cols_; }

  // Rows [first, first + count) in type(); out is exactly count rows long. kCorrupt when the stored numbers are no
  // good (an index out of range).
  virtual Status read(int64_t first, int64_t count, std::span<std::byte> out) const = 0;
  // All rows, where they lie in a mapped file exactly as read() would give them; otherwise empty.
  virtual std::span<const std::byte> in_place() const { return {}; }

 private:
  ElementType type_;
  int64_t rows_, cols_;
};

using MatrixPtr = std::shared_ptr<const MatrixSource>;

}  // namespace exo::convert
