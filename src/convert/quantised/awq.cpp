#include "convert/quantised/grouped_matrix.h"
#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

constexpr int64_t kPerWord = 8;

// A word's nibbles, lowest first, are columns 0, 2, 4, 6, 1, 3, 5, 7 of its eight.
uint32_t nibble_of(uint32_t word, int64_t column) {
  const auto place = static_cast<uint32_t>(column % 2 * 4 + column / 2);
  return word >> (4 * place) & 15;
}

class AwqMatrix final : public GroupedMatrix {
 public:
  AwqMatrix(int64_t rows, int64_t cols, int64_t group_size, const SafetensorsTensor& codes,
            const SafetensorsTensor& zeros, const SafetensorsTensor& scales)
      : GroupedMatrix(ElementType::kQ4_1, rows, cols, group_size), codes_(codes), zeros_(zeros), scales_(scales) {}

 private:
  void unpack(int64_t first, int64_t count, uint8_t* codes) const override {
    const int64_t words = rows() / kPerWord;
    for (int64_t c = 0; c < cols(); ++c) {
      for (int64_t r = first; r < first + count; ++r) {
        const uint32_t word = word_at(codes_, c * words + r / kPerWord);
        codes[(r - first) * cols() + c] = static_cast<uint8_t>(nibble_of(word, r % kPerWord));
      }
    }
  }
  Result<GroupScale> scale_of(int64_t row, int64_t group) const override {
    const uint32_t zero = nibble_of(word_at(zeros_, group * (rows() / kPerWord) + row / kPerWord), row % kPerWord);
    const float scale = scales_.at(group * rows() + row);
    return GroupScale{scale, -scale * static_cast<float>(zero)};
  }

  const SafetensorsTensor& codes_;
  const SafetensorsTensor& zeros_;
  const ScaleReader scales_;
};

}  // namespace

Result<MatrixPtr> awq_weight(const ModuleTensors& tensors, const boost::json::object& scheme) {
  if (tensors.find(".qweight") == nullptr) return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  const auto bits = formats::as_integer(formats::find_value(scheme, "bits")).value_or(4);
  if (bits != 4) return tensors.error(ErrorCode::kUnsupported, "AWQ weights of {} bits; 4 are known", bits);
  const auto version = formats::find_string(scheme, "version").value_or("gemm");
  if (version != "gemm" && version != "GEMM") {
    return tensors.error(ErrorCode::kUnsupported, "AWQ's layout '{}'; gemm is known", version.substr(0, 32));
  }
  EXO_TRY(const auto* codes, tensors.get(".qweight", {SafetensorsType::kI32, SafetensorsType::kU32}, 2));
  const int64_t cols = codes->shape[0], rows = codes->shape[1] * kPerWord;
  int64_t group_size = formats::as_integer(formats::find_value(scheme, "group_size")).value_or(128);
  if (group_size == -1) group_size = cols;
  EXO_CHECK_OK(check_groups(tensors.module(), cols, group_size));
  const int64_t n_groups = cols / group_size;
  EXO_TRY(const auto* scales, tensors.get(".scales", kScaleTypes, {n_groups, rows}));
  EXO_TRY(const auto* zeros, tensors.get(".qzeros", {codes->type}, {n_groups, rows / kPerWord}));
  return std::make_shared<AwqMatrix>(rows, cols, group_size, *codes, *zeros, *scales);
}

}  // namespace exo::convert
