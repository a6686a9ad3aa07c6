// Recipes for gated delta nets (Qwen3-Next's linear attention).

#include <cmath>
#include <utility>
#include <vector>

#include "convert/matrix_views.h"
#include "convert/recipes.h"

namespace exo::convert::recipes {
namespace {

struct DeltaShape {
  int64_t key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;
};

Result<DeltaShape> read_delta_shape(const ConfigFields& config) {
  constexpr int64_t kMost = 1 << 16;
  DeltaShape out;
  EXO_TRY(out.key_heads, config.integer({"linear_num_key_heads"}, 1, kMost));
  EXO_TRY(out.value_heads, config.integer({"linear_num_value_heads"}, 1, kMost));
  EXO_TRY(out.key_dim, config.integer({"linear_key_head_dim"}, 1, kMost));
  EXO_TRY(out.value_dim, config.integer({"linear_value_head_dim"}, 1, kMost));
  if (out.value_heads % out.key_heads != 0) {
    return fail(ErrorCode::kCorrupt, "config.json: {} value heads over {} key heads", out.value_heads,
                out.key_heads);
  }
  return out;
}

float negative_exponential(float x) { return -std::exp(x); }

// Value heads of `width` numbers each from `first` on: as the folder has them, those of one key head together, or,
// where the family's GGUF files want it, one of each key head in turn.
std::vector<Range> value_ranges(const RecipeInput& input, const DeltaShape& shape, int64_t first, int64_t width) {
  if (!input.family.tiles_value_heads) return {{first, shape.value_heads * width}};
  const int64_t per_key = shape.value_heads / shape.key_heads;
  std::vector<Range> ranges;
  for (int64_t turn = 0; turn < per_key; ++turn) {
    for (int64_t key = 0; key < shape.key_heads; ++key) {
      ranges.push_back({first + (key * per_key + turn) * width, width});
    }
  }
  return ranges;
}

// All queries and keys as they are, then the values.
std::vector<Range> mixed_ranges(const RecipeInput& input, const DeltaShape& shape) {
  const int64_t keys = 2 * shape.key_heads * shape.key_dim;
  auto ranges = value_ranges(input, shape, keys, shape.value_dim);
  ranges.insert(ranges.begin(), Range{0, keys});
  return ranges;
}

Result<DeltaShape> check_rows(const RecipeInput& input, int64_t rows, int64_t DeltaShape::*width) {
  EXO_TRY(const auto shape, read_delta_shape(input.config));
  const int64_t keys = width == &DeltaShape::key_dim ? 2 * shape.key_heads * shape.key_dim : 0;
  const int64_t wanted = keys + shape.value_heads * (width == nullptr ? 1 : shape.value_dim);
  if (rows != wanted) {
    return fail(ErrorCode::kCorrupt, "'{}' has {} rows or columns of {}", input.module, rows, wanted);
  }
  return shape;
}

// Numbers of value heads in a vector.
Result<MatrixPtr> order_vector(const RecipeInput& input, MatrixPtr numbers) {
  if (!input.family.tiles_value_heads) return numbers;
  EXO_TRY(const auto shape, check_rows(input, numbers->cols(), nullptr));
  return select_columns(std::move(numbers), value_ranges(input, shape, 0, 1));
}

}  // namespace

Status delta_qkvz(const RecipeInput& input) {
  EXO_TRY(const auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  EXO_TRY(const auto shape, read_delta_shape(input.config));
  const int64_t values = shape.value_heads / shape.key_heads * shape.value_dim;  // of one key head
  const int64_t group = 2 * shape.key_dim + 2 * values;
  if (weight->rows() != group * shape.key_heads) {
    return fail(ErrorCode::kCorrupt, "'{}' has {} rows of {}", input.module, weight->rows(),
                group * shape.key_heads);
  }
  std::vector<Range> mixed, gate;
  const auto add = [&](std::vector<Range>& to, int64_t offset, int64_t count) {
    for (int64_t head = 0; head < shape.key_heads; ++head) to.push_back({head * group + offset, count});
  };
  add(mixed, 0, shape.key_dim);
  add(mixed, shape.key_dim, shape.key_dim);
  add(mixed, 2 * shape.key_dim, values);
  add(gate, 2 * shape.key_dim + values, values);
  const std::string block = input.name.substr(0, input.name.rfind('.') + 1);
  EXO_TRY(auto qkv, select_rows(weight, std::move(mixed)));
  EXO_CHECK_OK(input.view.add_matrix(block + "attn_qkv.weight", std::move(qkv)));
  EXO_TRY(auto z, select_rows(weight, std::move(gate)));
  return input.view.add_matrix(block + "attn_gate.weight", std::move(z));
}

Status delta_mixed(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  if (weight->cols() == 1) {  // MLX stores channels by taps as [channels, taps, 1]
    EXO_TRY(const int64_t taps, input.config.integer({"linear_conv_kernel_dim"}, 1, 1 << 10));
    EXO_TRY(weight, reshape(weight, weight->rows() / taps, taps));
  }
  if (input.family.tiles_value_heads) {
    EXO_TRY(const auto shape, check_rows(input, weight->rows(), &DeltaShape::key_dim));
    EXO_TRY(weight, select_rows(std::move(weight), mixed_ranges(input, shape)));
  }
  return input.view.add_matrix(input.name + ".weight", std::move(weight));
}

Status delta_gate(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  if (input.family.tiles_value_heads) {
    EXO_TRY(const auto shape, check_rows(input, weight->rows(), &DeltaShape::value_dim));
    EXO_TRY(weight, select_rows(std::move(weight), value_ranges(input, shape, 0, shape.value_dim)));
  }
  return input.view.add_matrix(input.name + ".weight", std::move(weight));
}

Status delta_per_head(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  if (input.family.tiles_value_heads) {
    EXO_TRY(const auto shape, check_rows(input, weight->rows(), nullptr));
    EXO_TRY(weight, select_rows(std::move(weight), value_ranges(input, shape, 0, 1)));
  }
  return input.view.add_matrix(input.name + ".weight", std::move(weight));
}

Status delta_output(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  if (input.family.tiles_value_heads) {
    EXO_TRY(const auto shape, check_rows(input, weight->cols(), &DeltaShape::value_dim));
    EXO_TRY(weight, select_columns(std::move(weight), value_ranges(input, shape, 0, shape.value_dim)));
  }
  return input.view.add_matrix(input.name + ".weight", std::move(weight));
}

Status delta_step(const RecipeInput& input) {
  EXO_TRY(auto bias, input.view.tensor(input.module));
  if (bias == nullptr) return {};
  EXO_TRY(bias, order_vector(input, std::move(bias)));
  return input.view.add_vector(input.name, std::move(bias));
}

Status delta_decay(const RecipeInput& input) {
  EXO_TRY(auto logarithm, input.view.tensor(input.module));
  if (logarithm == nullptr) return {};
  EXO_TRY(logarithm, order_vector(input, std::move(logarithm)));
  EXO_TRY(auto decay, map_numbers(std::move(logarithm), negative_exponential));
  return input.view.add_vector(input.name, std::move(decay));
}

}  // namespace exo::convert::recipes
