#include <string>

#include "convert/quantised/grouped_matrix.h"
#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

struct Packing {
  std::string mode = "affine";
  int64_t bits = 0, group_size = 0;
};

// Of the module: its own entry, where it has one, over the folder's.
Result<Packing> packing_of(const ModuleTensors& tensors, const boost::json::object& scheme) {
  const auto& own = formats::find_object(scheme, tensors.module());
  const auto integer = [&](std::string_view name, int64_t otherwise) {
    const auto of_module = formats::as_integer(formats::find_value(own, name));
    return of_module.value_or(formats::as_integer(formats::find_value(scheme, name)).value_or(otherwise));
  };
  Packing packing;
  packing.mode =
      formats::find_string(own, "mode").value_or(formats::find_string(scheme, "mode").value_or("affine"));
  packing.bits = integer("bits", 4);
  packing.group_size = integer("group_size", packing.mode == "affine" ? 64 : packing.mode == "nvfp4" ? 16 : 32);
  if (packing.bits < 2 || packing.bits > 8 || packing.bits == 7) {
    return tensors.error(ErrorCode::kUnsupported, "weights of {} bits; 2, 3, 4, 5, 6 and 8 are known",
                         packing.bits);
  }
  return packing;
}

ElementType affine_type(int64_t bits, bool bfloat) {
  using enum ElementType;
  if (bits <= 4) return bfloat ? kA4_BF16 : kQ4_1;
  if (bits == 5) return bfloat ? kA5_BF16 : kQ5_1;
  return bfloat ? kA8_BF16 : kA8_F16;
}

class MlxMatrix final : public GroupedMatrix {
 public:
  MlxMatrix(ElementType type, int64_t rows, int64_t cols, const Packing& packing, const SafetensorsTensor& codes,
            const SafetensorsTensor& scales, const SafetensorsTensor& biases)
      : GroupedMatrix(type, rows, cols, packing.group_size),
        bits_(static_cast<int>(packing.bits)),
        codes_(codes),
        scales_(scales),
        biases_(biases) {}

 private:
  void unpack(int64_t first, int64_t count, uint8_t* codes) const override {
    const int64_t row = cols() * bits_ / 8;
    for (int64_t r = 0; r < count; ++r) {
      unpack_bits(codes_.data.data() + (first + r) * row, bits_, cols(), codes + r * cols());
    }
  }
  Result<GroupScale> scale_of(int64_t row, int64_t group) const override {
    const int64_t at = row * n_groups() + group;
    return GroupScale{scales_.at(at), biases_.at(at)};
  }

  const int bits_;
  const SafetensorsTensor& codes_;
  const ScaleReader scales_, biases_;
};

}  // namespace

Result<MatrixPtr> mlx_weight(const ModuleTensors& tensors, const boost::json::object& scheme) {
  const auto* weight = tensors.find(".weight");
  if (weight == nullptr || weight->type != SafetensorsType::kU32 || tensors.find(".scales") == nullptr) {
    return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  }
  EXO_TRY(const Packing packing, packing_of(tensors, scheme));
  if (weight->shape.size() < 2 || weight->shape.size() > 3 || weight->elements() == 0) {
    return tensors.error(ErrorCode::kCorrupt, "tensor '{}' has shape [{}]", weight->name,
                         fmt::join(weight->shape, ", "));
  }
  const int64_t words = weight->shape.back(), rows = weight->elements() / words;
  const int64_t cols = words * 32 / packing.bits;
  if (cols * packing.bits != words * 32) {
    return tensors.error(ErrorCode::kCorrupt, "rows of {} words hold no whole number of {} bits", words,
                         packing.bits);
  }
  auto groups = weight->shape;
  if (packing.group_size <= 0 || cols % packing.group_size != 0) {
    return tensors.error(ErrorCode::kCorrupt, "rows of {} weights in groups of {}", cols, packing.group_size);
  }
  groups.back() = cols / packing.group_size;
  if (packing.mode == "mxfp4" || packing.mode == "nvfp4") {
    const bool nv = packing.mode == "nvfp4";
    if (packing.bits != 4 || packing.group_size != (nv ? 16 : 32) || cols % (nv ? 64 : 32) != 0) {
      return tensors.error(ErrorCode::kUnsupported, "mode '{}' with {} bits, groups of {} and rows of {}",
                           packing.mode, packing.bits, packing.group_size, cols);
    }
    EXO_TRY(const auto* scales, tensors.get(".scales", {SafetensorsType::kU8}, groups));
    return fp4_matrix(nv ? ElementType::kNVFP4 : ElementType::kMXFP4, rows, cols, *weight, *scales);
  }
  if (packing.mode != "affine") {
    return tensors.error(ErrorCode::kUnsupported, "mode '{}'; affine, mxfp4 and nvfp4 are known",
                         packing.mode.substr(0, 32));
  }
  EXO_CHECK_OK(check_groups(tensors.module(), cols, packing.group_size));
  EXO_TRY(const auto* scales, tensors.get(".scales", kScaleTypes, groups));
  EXO_TRY(const auto* biases, tensors.get(".biases", {scales->type}, groups));
  return std::make_shared<MlxMatrix>(affine_type(packing.bits, scales->type == SafetensorsType::kBF16), rows, cols,
                                     packing, *weight, *scales, *biases);
}

}  // namespace exo::convert
