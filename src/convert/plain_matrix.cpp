#include "convert/plain_matrix.h"

#include <cstring>
#include <optional>

#include "base/check.h"

namespace exo::convert {
namespace {

using formats::SafetensorsType;

class PlainMatrix final : public MatrixSource {
 public:
  PlainMatrix(ElementType type, int64_t rows, int64_t cols, std::span<const std::byte> data)
      : MatrixSource(type, rows, cols), data_(data) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const size_t row = data_.size() / static_cast<size_t>(rows());
    EXO_CHECK(first >= 0 && count >= 0 && first + count <= rows() &&
              out.size() == row * static_cast<size_t>(count));
    std::memcpy(out.data(), data_.data() + static_cast<size_t>(first) * row, out.size());
    return {};
  }
  std::span<const std::byte> in_place() const override {
    const uintptr_t alignment = type() == ElementType::kF32 ? 4 : 2;
    if (reinterpret_cast<uintptr_t>(data_.data()) % alignment != 0) return {};
    return data_;
  }

 private:
  std::span<const std::byte> data_;
};

class DoubleMatrix final : public MatrixSource {
 public:
  DoubleMatrix(int64_t rows, int64_t cols, std::span<const std::byte> data)
      : MatrixSource(ElementType::kF32, rows, cols), data_(data) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const auto n = static_cast<size_t>(count * cols());
    EXO_CHECK(first >= 0 && count >= 0 && first + count <= rows() && out.size() == n * sizeof(float));
    const std::byte* from = data_.data() + static_cast<size_t>(first * cols()) * sizeof(double);
    for (size_t i = 0; i < n; ++i) {
      double wide;
      std::memcpy(&wide, from + i * sizeof wide, sizeof wide);
      const auto value = static_cast<float>(wide);
      std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
    }
    return {};
  }

 private:
  std::span<const std::byte> data_;
};

std::optional<ElementType> element_type(SafetensorsType type) {
  switch (type) {
    case SafetensorsType::kF32:
      return ElementType::kF32;
    case SafetensorsType::kF16:
      return ElementType::kF16;
    case SafetensorsType::kBF16:
      return ElementType::kBF16;
    default:
      return std::nullopt;
  }
}

}  // namespace

Result<MatrixPtr> plain_matrix(const formats::SafetensorsTensor& tensor) {
  const int64_t elements = tensor.elements();
  if (elements == 0) return fail(ErrorCode::kUnsupported, "tensor '{}' has no elements", tensor.name);
  const int64_t cols = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (const auto type = element_type(tensor.type)) {
    return std::make_shared<PlainMatrix>(*type, elements / cols, cols, tensor.data);
  }
  if (tensor.type == SafetensorsType::kF64) {
    return std::make_shared<DoubleMatrix>(elements / cols, cols, tensor.data);
  }
  return fail(ErrorCode::kUnsupported, "tensor '{}' holds {} numbers, which are no weights", tensor.name,
              to_string(tensor.type));
}

}  // namespace exo::convert
