#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "convert/quantised/schemes.h"
#include "formats/json_fields.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

using Table = std::array<float, 256>;

// What each byte stands for; NaN where that is no number.
Table values_of(SafetensorsType type) {
  Table table;
  for (unsigned i = 0; i < table.size(); ++i) {
    // E5M2 is the upper half of IEEE's half precision.
    const float value = type == SafetensorsType::kF8E4M3 ? kernels::e4m3_to_f32(static_cast<uint8_t>(i))
                                                         : kernels::f16_to_f32(static_cast<uint16_t>(i << 8));
    table[i] = std::isfinite(value) ? value : NAN;
  }
  return table;
}

// One factor for each `rows` by `cols` of every matrix, the last ones perhaps smaller.
struct ScaleGrid {
  const SafetensorsTensor* tensor = nullptr;  // nullptr: no factors
  int64_t rows = 1, cols = 1;
  bool per_tensor = false;
};

struct Extent {
  int64_t matrices, rows, cols;  // rows of one matrix
};

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

class Fp8Matrix final : public MatrixSource {
 public:
  Fp8Matrix(ElementType type, Extent extent, const SafetensorsTensor& weight, const ScaleGrid& grid)
      : MatrixSource(type, extent.matrices * extent.rows, extent.cols),
        extent_(extent),
        weight_(weight),
        grid_(grid),
        values_(values_of(weight.type)) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    EXO_CHECK(first >= 0 && count >= 0 && first + count <= rows() &&
              out.size() == static_cast<size_t>(count * cols()) * 2);
    std::vector<float> row(static_cast<size_t>(cols()));
    std::vector<uint16_t> halves(row.size());
    const auto& kernels = kernels::best_kernels();
    for (int64_t r = 0; r < count; ++r) {
      EXO_CHECK_OK(read_row(first + r, row.data()));
      if (type() == ElementType::kF16) {
        kernels.narrow_f16(row.data(), halves.data(), cols());
      } else {
        std::ranges::transform(row, halves.begin(), kernels::f32_to_bf16);
      }
      std::memcpy(out.data() + r * cols() * 2, halves.data(), static_cast<size_t>(cols()) * 2);
    }
    return {};
  }

 private:
  Status read_row(int64_t r, float* out) const {
    const std::byte* from = weight_.data.data() + r * cols();
    const int64_t width = grid_.tensor == nullptr || grid_.per_tensor ? cols() : grid_.cols;
    for (int64_t begin = 0; begin < cols(); begin += width) {
      const float factor = factor_at(r, begin);
      const int64_t end = std::min(begin + width, cols());
      bool good = std::isfinite(factor);
      for (int64_t c = begin; c < end; ++c) {
        out[c] = values_[static_cast<size_t>(from[c])] * factor;
        good &= std::isfinite(out[c]);
      }
      if (!good) {
        return fail(ErrorCode::kCorrupt, "'{}' has a weight in row {} that is no finite number", weight_.name, r);
      }
    }
    return {};
  }

  float factor_at(int64_t r, int64_t c) const {
    if (grid_.tensor == nullptr) return 1.0f;
    const ScaleReader scales(*grid_.tensor);
    if (grid_.per_tensor) return scales.at(0);
    const int64_t grid_rows = divide_up(extent_.rows, grid_.rows), grid_cols = divide_up(extent_.cols, grid_.cols);
    const int64_t row = r / extent_.rows * grid_rows + r % extent_.rows / grid_.rows;
    return scales.at(row * grid_cols + c / grid_.cols);
  }

  const Extent extent_;
  const SafetensorsTensor& weight_;
  const ScaleGrid grid_;
  const Table values_;
};

// The block that config.json names, as DeepSeek's and as compressed-tensors' folders do.
std::vector<std::pair<int64_t, int64_t>> block_sizes(const boost::json::object& scheme) {
  std::vector<std::pair<int64_t, int64_t>> sizes;
  const auto add = [&](const boost::json::array& pair) {
    if (pair.size() != 2) return;
    const auto rows = formats::as_integer(pair[0]), cols = formats::as_integer(pair[1]);
    if (rows && cols && *rows > 0 && *cols > 0) sizes.emplace_back(*rows, *cols);
  };
  add(formats::find_array(scheme, "weight_block_size"));
  for (const auto& [name, group] : formats::find_object(scheme, "config_groups")) {
    if (group.is_object())
      add(formats::find_array(formats::find_object(group.as_object(), "weights"), "block_structure"));
  }
  sizes.insert(sizes.end(), {{128, 128}, {1, 128}, {1, 32}});
  return sizes;
}

// Which numbers of the weight share a factor, by the shape of the factors.
Result<ScaleGrid> grid_of(const ModuleTensors& tensors, const boost::json::object& scheme, const Extent& extent) {
  ScaleGrid grid;
  for (const char* suffix : {".weight_scale_inv", ".weight_scale", ".scale"}) {
    if (grid.tensor == nullptr) grid.tensor = tensors.find(suffix);
  }
  if (grid.tensor == nullptr) return grid;
  const auto& scale = *grid.tensor;
  using enum SafetensorsType;
  if (scale.type != kF32 && scale.type != kF16 && scale.type != kBF16 && scale.type != kF8E8M0) {
    return tensors.error(ErrorCode::kCorrupt, "tensor '{}' holds {} numbers", scale.name, to_string(scale.type));
  }
  const int64_t count = scale.elements();
  if (count == 1) {
    grid.per_tensor = true;
    return grid;
  }
  if (count == extent.matrices * extent.rows && (scale.shape.size() == 1 || scale.shape.back() == 1)) {
    grid.cols = extent.cols;
    return grid;
  }
  if (scale.shape.size() >= 2) {
    for (const auto& [rows, cols] : block_sizes(scheme)) {
      grid.rows = rows;
      grid.cols = cols;
      if (scale.shape.back() == divide_up(extent.cols, cols) &&
          scale.shape[scale.shape.size() - 2] == divide_up(extent.rows, rows) &&
          count == extent.matrices * divide_up(extent.rows, rows) * divide_up(extent.cols, cols)) {
        return grid;
      }
    }
  }
  return tensors.error(ErrorCode::kUnsupported, "tensor '{}' of shape [{}] does not fit a weight of {} x {}",
                       scale.name, fmt::join(scale.shape, ", "), extent.matrices * extent.rows, extent.cols);
}

// BF16 where the products fit its 8 bits or F16's range does not hold them, else F16.
ElementType type_for(const ScaleGrid& grid, const Table& values) {
  if (grid.tensor == nullptr) return ElementType::kBF16;
  float largest_value = 0.0f;
  for (float value : values) largest_value = std::max(largest_value, std::isnan(value) ? 0.0f : value);
  const ScaleReader scales(*grid.tensor);
  const int64_t count = grid.tensor->elements();
  bool powers = true;
  float most = 0.0f, least = INFINITY;
  for (int64_t i = 0; i < count; ++i) {
    const float scale = std::fabs(scales.at(i));
    powers &= (std::bit_cast<uint32_t>(scale) & 0x007fffff) == 0;
    most = std::max(most, scale);
    if (scale > 0.0f) least = std::min(least, scale);
  }
  constexpr float kLargestHalf = 65504.0f, kLeastNormalHalf = 0x1p-14f;
  const bool in_range = most * largest_value <= kLargestHalf && least * largest_value >= kLeastNormalHalf;
  return powers || !in_range ? ElementType::kBF16 : ElementType::kF16;
}

}  // namespace

bool is_fp8(SafetensorsType type) { return type == SafetensorsType::kF8E4M3 || type == SafetensorsType::kF8E5M2; }

Result<MatrixPtr> fp8_weight(const ModuleTensors& tensors, const boost::json::object& scheme) {
  const auto* weight = tensors.find(".weight");
  if (weight == nullptr || !is_fp8(weight->type)) return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  if (weight->shape.size() < 2 || weight->elements() == 0) {
    return tensors.error(ErrorCode::kCorrupt, "tensor '{}' has shape [{}]", weight->name,
                         fmt::join(weight->shape, ", "));
  }
  const int64_t cols = weight->shape.back(), rows = weight->shape[weight->shape.size() - 2];
  const Extent extent{weight->elements() / rows / cols, rows, cols};
  EXO_TRY(const ScaleGrid grid, grid_of(tensors, scheme, extent));
  return std::make_shared<Fp8Matrix>(type_for(grid, values_of(weight->type)), extent, *weight, grid);
}

}  // namespace exo::convert
