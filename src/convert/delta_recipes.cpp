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

Status delta_conv(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.tensor(input.module + ".weight"));
  if (weight == nullptr) return {};
  return input.view.add_matrix(input.name + ".weight", std::move(weight));
}

Status delta_decay(const RecipeInput& input) {
  EXO_TRY(auto logarithm, input.view.tensor(input.module));
  if (logarithm == nullptr) return {};
  EXO_TRY(auto decay, map_numbers(std::move(logarithm), negative_exponential));
  return input.view.add_vector(input.name, std::move(decay));
}

}  // namespace exo::convert::recipes
