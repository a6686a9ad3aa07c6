#include <algorithm>
#include <cstring>

#include "convert/quantised/grouped_matrix.h"
#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

struct Packing {
  int64_t bits = 4, group_size = -1;  // -1: the whole row
  bool symmetric = false;
  int zero_offset = 1;  // a zero point is stored less this
  int64_t per_word() const { return 32 / bits; }
};

Result<Packing> packing_of(const ModuleTensors& tensors, const boost::json::object& scheme) {
  Packing packing;
  packing.bits = formats::as_integer(formats::find_value(scheme, "bits")).value_or(4);
  packing.group_size = formats::as_integer(formats::find_value(scheme, "group_size")).value_or(-1);
  packing.symmetric = formats::find_bool(scheme, "sym").value_or(false);
  const auto format = formats::find_string(scheme, "checkpoint_format").value_or("gptq");
  if (format != "gptq" && format != "gptq_v2") {
    return tensors.error(ErrorCode::kUnsupported, "GPTQ's checkpoint format '{}'; gptq and gptq_v2 are known",
                         format.substr(0, 32));
  }
  packing.zero_offset = format == "gptq" ? 1 : 0;
  if (packing.bits != 2 && packing.bits != 4 && packing.bits != 8) {
    return tensors.error(ErrorCode::kUnsupported, "GPTQ weights of {} bits; 2, 4 and 8 are known", packing.bits);
  }
  return packing;
}

class GptqMatrix final : public GroupedMatrix {
 public:
  GptqMatrix(ElementType type, int64_t rows, int64_t cols, int64_t group_size, const Packing& packing,
             const SafetensorsTensor& codes, const SafetensorsTensor& zeros, const SafetensorsTensor& scales,
             std::vector<int32_t> group_of)
      : GroupedMatrix(type, rows, cols, group_size),
        packing_(packing),
        codes_(codes),
        zeros_(zeros),
        scales_(scales),
        group_of_(std::move(group_of)) {
    set_groups(scales.shape[0]);
  }

 private:
  void unpack(int64_t first, int64_t count, uint8_t* codes) const override {
    const auto bits = static_cast<int>(packing_.bits);
    const uint32_t mask = (1u << bits) - 1;
    for (int64_t word_row = 0; word_row * packing_.per_word() < cols(); ++word_row) {
      for (int64_t r = 0; r < count; ++r) {
        uint32_t word = word_at(codes_, word_row * rows() + first + r);
        uint8_t* to = codes + r * cols() + word_row * packing_.per_word();
        for (int64_t i = 0; i < packing_.per_word(); ++i, word >>= bits) to[i] = static_cast<uint8_t>(word & mask);
      }
    }
  }

  Result<GroupScale> scale_of(int64_t row, int64_t group) const override {
    const int64_t per_word = packing_.per_word(), words = rows() / per_word;
    const uint32_t word = word_at(zeros_, group * words + row / per_word);
    const auto stored = static_cast<int>(word >> (row % per_word * packing_.bits) & ((1u << packing_.bits) - 1));
    int zero = stored + packing_.zero_offset;
    if (packing_.symmetric) {
      // Writers differ in whether the middle is stored less one, whatever the folder's checkpoint_format says.
      const int middle = 1 << (packing_.bits - 1);
      if (stored != middle && stored != middle - 1) {
        return fail(ErrorCode::kCorrupt, "'{}' has the zero point {}, but config.json says 'sym'", zeros_.name,
                    zero);
      }
      zero = middle;
    }
    const float scale = scales_.at(group * rows() + row);
    return GroupScale{scale, -scale * static_cast<float>(zero)};
  }

  std::span<const int32_t> group_of_column() const override { return group_of_; }

  const Packing packing_;
  const SafetensorsTensor& codes_;
  const SafetensorsTensor& zeros_;
  const ScaleReader scales_;
  const std::vector<int32_t> group_of_;  // only for act-order
};

// .g_idx, when it says something else than the position in the row; empty otherwise.
Result<std::vector<int32_t>> spread_groups(const ModuleTensors& tensors, int64_t cols, int64_t group_size,
                                           int64_t n_groups) {
  std::vector<int32_t> group_of;
  if (tensors.find(".g_idx") == nullptr) return group_of;
  EXO_TRY(const auto* index, tensors.get(".g_idx", {SafetensorsType::kI32}, {cols}));
  group_of.resize(static_cast<size_t>(cols));
  std::memcpy(group_of.data(), index->data.data(), index->data.size());
  bool in_order = true;
  for (int64_t c = 0; c < cols; ++c) {
    const int32_t group = group_of[static_cast<size_t>(c)];
    if (group < 0 || group >= n_groups) {
      return tensors.error(ErrorCode::kCorrupt, "'{}' names group {} of {}", index->name, group, n_groups);
    }
    in_order &= group == c / group_size;
  }
  if (in_order) group_of.clear();
  return group_of;
}

ElementType type_of(const Packing& packing, bool bfloat, bool spread) {
  using enum ElementType;
  if (spread) return kF16;
  if (packing.bits == 8) return packing.symmetric ? (bfloat ? kA8_BF16 : kQ8_0) : kA8_F16;
  if (packing.bits == 4 && packing.symmetric) return bfloat ? kA4_BF16 : kQ4_0;
  return kQ4_1;
}

}  // namespace

Result<MatrixPtr> gptq_weight(const ModuleTensors& tensors, const boost::json::object& scheme) {
  if (tensors.find(".qweight") == nullptr) return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  EXO_TRY(Packing packing, packing_of(tensors, scheme));
  const int64_t per_word = packing.per_word();
  EXO_TRY(const auto* codes, tensors.get(".qweight", {SafetensorsType::kI32, SafetensorsType::kU32}, 2));
  const int64_t cols = codes->shape[0] * per_word, rows = codes->shape[1];
  const int64_t group_size = packing.group_size == -1 ? cols : packing.group_size;
  EXO_CHECK_OK(check_groups(tensors.module(), cols, group_size));
  if (rows % per_word != 0) {
    return tensors.error(ErrorCode::kCorrupt, "{} outputs are no multiple of {}", rows, per_word);
  }
  const int64_t n_groups = cols / group_size;
  EXO_TRY(const auto* scales, tensors.get(".scales", kScaleTypes, {n_groups, rows}));
  EXO_TRY(const auto* zeros, tensors.get(".qzeros", {codes->type}, {n_groups, rows / per_word}));
  EXO_TRY(auto group_of, spread_groups(tensors, cols, group_size, n_groups));
  const auto type = type_of(packing, scales->type == SafetensorsType::kBF16, !group_of.empty());
  return std::make_shared<GptqMatrix>(type, rows, cols, group_size, packing, *codes, *zeros, *scales,
                                      std::move(group_of));
}

}  // namespace exo::convert
