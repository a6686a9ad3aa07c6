#include "convert/recipes.h"

#include <utility>
#include <vector>

#include "convert/matrix_views.h"

namespace exo::convert::recipes {
namespace {

float plus_one(float x) { return x + 1.0f; }

Status add_bias(const RecipeInput& input) {
  EXO_TRY(auto bias, input.view.tensor(input.module + ".bias"));
  if (bias == nullptr) return {};
  return input.view.add_vector(input.name + ".bias", std::move(bias));
}

Status add_norm(const RecipeInput& input, bool is_less_one) {
  EXO_TRY(auto weight, input.view.tensor(input.module + ".weight"));
  if (weight == nullptr) return {};
  if (is_less_one) {
    EXO_TRY(weight, map_numbers(std::move(weight), plus_one));
  }
  const bool per_head = weight->rows() > 1;
  EXO_CHECK_OK(per_head ? input.view.add_matrix(input.name + ".weight", std::move(weight))
                        : input.view.add_vector(input.name + ".weight", std::move(weight)));
  return add_bias(input);
}

}  // namespace

Status projection(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  EXO_CHECK_OK(input.view.add_matrix(input.name + ".weight", std::move(weight)));
  return add_bias(input);
}

Status transposed_projection(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  EXO_TRY(weight, transpose(std::move(weight)));
  EXO_CHECK_OK(input.view.add_matrix(input.name + ".weight", std::move(weight)));
  return add_bias(input);
}

Status norm(const RecipeInput& input) { return add_norm(input, input.family.norms_plus_one); }

Status plain_norm(const RecipeInput& input) { return add_norm(input, false); }

Status vector(const RecipeInput& input) {
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  return input.view.add_vector(input.name + ".weight", std::move(weight));
}

Status bare_vector(const RecipeInput& input) {
  EXO_TRY(auto numbers, input.view.tensor(input.module));
  if (numbers == nullptr) return {};
  return input.view.add_vector(input.name, std::move(numbers));
}

Status norm_per_head(const RecipeInput& input) {
  std::vector<MatrixPtr> rows;
  for (int64_t head = 0; head < input.shape.n_heads; ++head) {
    EXO_TRY(auto row, input.view.tensor(fmt::format("{}.{}.weight", input.module, head)));
    if (row == nullptr) break;
    rows.push_back(std::move(row));
  }
  if (rows.empty()) return {};
  EXO_TRY(auto all, stack_rows(std::move(rows)));
  return input.view.add_matrix(input.name + ".weight", std::move(all));
}

namespace {

// Groups of `per_group` query heads, a key head and a value head.
std::vector<Range> group_ranges(const ModelShape& shape, int64_t groups) {
  const int64_t per_group = shape.n_heads / groups, head = shape.head_dim;
  std::vector<Range> ranges;
  for (int64_t g = 0; g < groups; ++g) ranges.push_back({g * (per_group + 2) * head, per_group * head});
  for (int64_t part = 0; part < 2; ++part) {
    for (int64_t g = 0; g < groups; ++g) ranges.push_back({(g * (per_group + 2) + per_group + part) * head, head});
  }
  return ranges;
}

}  // namespace

Status grouped_qkv(const RecipeInput& input) {
  const int64_t groups = input.shape.n_kv_heads;
  EXO_TRY(auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  const int64_t rows = (input.shape.n_heads + 2 * groups) * input.shape.head_dim;
  if (weight->rows() != rows) {
    return fail(ErrorCode::kCorrupt, "'{}' has {} rows of {}", input.module, weight->rows(), rows);
  }
  EXO_TRY(weight, select_rows(std::move(weight), group_ranges(input.shape, groups)));
  EXO_CHECK_OK(input.view.add_matrix(input.name + ".weight", std::move(weight)));
  EXO_TRY(auto bias, input.view.tensor(input.module + ".bias"));
  if (bias == nullptr) return {};
  EXO_TRY(bias, select_columns(std::move(bias), group_ranges(input.shape, groups)));
  return input.view.add_vector(input.name + ".bias", std::move(bias));
}

Status latent_kv(const RecipeInput& input) {
  EXO_TRY(const auto weight, input.view.weight(input.module));
  if (weight == nullptr) return {};
  constexpr int64_t kMost = 1 << 20;
  EXO_TRY(const int64_t key, input.config.integer({"qk_nope_head_dim"}, 1, kMost));
  EXO_TRY(const int64_t value, input.config.integer({"v_head_dim"}, 1, kMost));
  if (weight->rows() != input.shape.n_heads * (key + value)) {
    return fail(ErrorCode::kCorrupt, "'{}' has {} rows of {}", input.module, weight->rows(),
                input.shape.n_heads * (key + value));
  }
  // Numbers in blocks along the rows cannot be transposed; readers take both halves in one as well.
  if (info(weight->type()).block_elements > 1) return input.view.add_matrix(input.name + ".weight", weight);
  std::vector<MatrixPtr> keys, values;
  for (int64_t head = 0; head < input.shape.n_heads; ++head) {
    EXO_TRY(auto k, select_rows(weight, {{head * (key + value), key}}));
    EXO_TRY(k, transpose(std::move(k)));
    keys.push_back(std::move(k));
    EXO_TRY(auto v, select_rows(weight, {{head * (key + value) + key, value}}));
    values.push_back(std::move(v));
  }
  const std::string block = input.name.substr(0, input.name.rfind('.') + 1);
  EXO_CHECK_OK(input.view.add_stack(block + "attn_k_b.weight", std::move(keys)));
  return input.view.add_stack(block + "attn_v_b.weight", std::move(values));
}

}  // namespace exo::convert::recipes
