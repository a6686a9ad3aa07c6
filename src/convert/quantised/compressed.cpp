#include <cstring>

#include "convert/quantised/grouped_matrix.h"
#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

// Rows of codes in a stream of bits; zero points, if any, packed along the outputs.
class PackedRows final : public GroupedMatrix {
 public:
  PackedRows(ElementType type, int64_t rows, int64_t cols, int64_t group_size, int bits,
             const SafetensorsTensor& codes, const SafetensorsTensor& scales, const SafetensorsTensor* zeros)
      : GroupedMatrix(type, rows, cols, group_size), bits_(bits), codes_(codes), scales_(scales), zeros_(zeros) {}

 private:
  void unpack(int64_t first, int64_t count, uint8_t* codes) const override {
    const int64_t row = cols() * bits_ / 8;
    for (int64_t r = 0; r < count; ++r) {
      unpack_bits(codes_.data.data() + (first + r) * row, bits_, cols(), codes + r * cols());
    }
    if (codes_.type != SafetensorsType::kI8) return;
    for (int64_t i = 0; i < count * cols(); ++i) codes[i] = static_cast<uint8_t>(codes[i] + 128);
  }
  Result<GroupScale> scale_of(int64_t row, int64_t group) const override {
    const float scale = scales_.at(row * n_groups() + group);
    uint32_t zero = 1u << (bits_ - 1);
    if (zeros_ != nullptr) {
      const int64_t per_word = 32 / bits_;
      zero =
          word_at(*zeros_, row / per_word * n_groups() + group) >> (row % per_word * bits_) & ((1u << bits_) - 1);
    }
    return GroupScale{scale, -scale * static_cast<float>(zero)};
  }

  const int bits_;
  const SafetensorsTensor& codes_;
  const ScaleReader scales_;
  const SafetensorsTensor* zeros_;
};

ElementType symmetric_type(int bits, bool bfloat) {
  using enum ElementType;
  if (bits == 8) return bfloat ? kA8_BF16 : kQ8_0;
  return bfloat ? kA4_BF16 : kQ4_0;
}

Result<MatrixPtr> packed_weight(const ModuleTensors& tensors) {
  EXO_TRY(const auto* codes, tensors.get(".weight_packed", {SafetensorsType::kI32}, 2));
  EXO_TRY(const auto* scales, tensors.get(".weight_scale", kScaleTypes, 2));
  EXO_TRY(const auto* shape, tensors.get(".weight_shape", {SafetensorsType::kI64}, {2}));
  int64_t extent[2];
  std::memcpy(extent, shape->data.data(), sizeof extent);
  const auto [rows, cols] = extent;
  int bits = 0;
  for (int candidate : {4, 8}) {
    if (rows == codes->shape[0] && cols > 0 && cols / (32 / candidate) == codes->shape[1] && cols % 32 == 0) {
      bits = candidate;
    }
  }
  if (bits == 0 || rows != scales->shape[0]) {
    return tensors.error(ErrorCode::kUnsupported, "weights of {} x {} packed as {} x {}; 4 and 8 bits are known",
                         rows, cols, codes->shape[0], codes->shape[1]);
  }
  if (tensors.find(".weight_g_idx") != nullptr) {
    return tensors.error(ErrorCode::kUnsupported, "groups in activation order ('{}.weight_g_idx')",
                         tensors.module());
  }
  const int64_t group_size = cols / scales->shape[1];
  EXO_CHECK_OK(check_groups(tensors.module(), cols, group_size));
  if (group_size * scales->shape[1] != cols) {
    return tensors.error(ErrorCode::kCorrupt, "{} groups of {} weights", scales->shape[1], cols);
  }
  const bool bfloat = scales->type == SafetensorsType::kBF16;
  if (tensors.find(".weight_zero_point") == nullptr) {
    return std::make_shared<PackedRows>(symmetric_type(bits, bfloat), rows, cols, group_size, bits, *codes, *scales,
                                        nullptr);
  }
  const int64_t per_word = 32 / bits;
  EXO_TRY(const auto* zeros, tensors.get(".weight_zero_point", {SafetensorsType::kI32},
                                         {(rows + per_word - 1) / per_word, scales->shape[1]}));
  return std::make_shared<PackedRows>(bits == 8 ? ElementType::kA8_F16 : ElementType::kQ4_1, rows, cols, group_size,
                                      bits, *codes, *scales, zeros);
}

}  // namespace

Result<MatrixPtr> compressed_weight(const ModuleTensors& tensors, const boost::json::object& scheme) {
  if (tensors.find(".weight_packed") != nullptr) {
    const auto format = formats::find_string(scheme, "format").value_or("");
    if (format != "pack-quantized") {
      return tensors.error(ErrorCode::kUnsupported,
                           "compressed-tensors' format '{}'; float-, int- and pack-quantized are known",
                           format.substr(0, 32));
    }
    return packed_weight(tensors);
  }
  const auto* weight = tensors.find(".weight");
  if (weight == nullptr || weight->type != SafetensorsType::kI8) {
    return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  }
  EXO_TRY(const auto* codes, tensors.get(".weight", {SafetensorsType::kI8}, 2));
  const int64_t rows = codes->shape[0], cols = codes->shape[1];
  EXO_CHECK_OK(check_groups(tensors.module(), cols, cols));
  EXO_TRY(const auto* scales, tensors.get(".weight_scale", kScaleTypes, {rows, 1}));
  return std::make_shared<PackedRows>(symmetric_type(8, scales->type == SafetensorsType::kBF16), rows, cols, cols,
                                      8, *codes, *scales, nullptr);
}

}  // namespace exo::convert
