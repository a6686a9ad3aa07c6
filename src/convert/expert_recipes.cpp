// Recipes for experts: stored one by one, or all in one tensor in one of several orders.

#include <utility>
#include <vector>

#include "convert/matrix_views.h"
#include "convert/recipes.h"

namespace exo::convert::recipes {
namespace {

// "blk.3." of "blk.3.ffn_exps".
std::string block_of(const RecipeInput& input) { return input.name.substr(0, input.name.rfind('.') + 1); }

struct ExpertPart {
  std::string_view modules[3];  // as families name it
  std::string_view name;
};

constexpr ExpertPart kParts[] = {{{"gate_proj", "w1", "linear"}, "ffn_gate_exps"},
                                 {{"up_proj", "w3", "linear_v"}, "ffn_up_exps"},
                                 {{"down_proj", "w2", "linear_1"}, "ffn_down_exps"}};

// One expert's weight under whichever name; nullptr when there is none.
Result<MatrixPtr> find_part(const RecipeInput& input, int64_t expert, const ExpertPart& part) {
  for (const auto module : part.modules) {
    EXO_TRY(auto weight, input.view.weight(fmt::format("{}.{}.{}", input.module, expert, module)));
    if (weight != nullptr) return weight;
  }
  return MatrixPtr();
}

Status add_single_experts(const RecipeInput& input, const ExpertPart& part) {
  std::vector<MatrixPtr> all;
  for (int64_t expert = 0; expert < input.shape.n_experts; ++expert) {
    EXO_TRY(auto weight, find_part(input, expert, part));
    if (weight == nullptr && expert == 0) return {};
    if (weight == nullptr) {
      return fail(ErrorCode::kNotFound, "the folder has no weight for '{}.{}.{}'", input.module, expert,
                  part.modules[0]);
    }
    all.push_back(std::move(weight));
  }
  return input.view.add_stack(fmt::format("{}{}.weight", block_of(input), part.name), std::move(all));
}

// Rows [first, first + count) of each expert's `per_expert` rows, every `step`-th.
Status add_slices(const RecipeInput& input, std::string_view name, const MatrixPtr& all, int64_t per_expert,
                  Range slice) {
  if (all->rows() != per_expert * input.shape.n_experts) {
    return fail(ErrorCode::kCorrupt, "'{}' has {} rows for {} experts", input.module, all->rows(),
                input.shape.n_experts);
  }
  std::vector<MatrixPtr> parts;
  for (int64_t expert = 0; expert < input.shape.n_experts; ++expert) {
    EXO_TRY(auto part, select_rows(all, {{expert * per_expert + slice.first, slice.count, slice.step}}));
    parts.push_back(std::move(part));
  }
  return input.view.add_stack(fmt::format("{}{}.weight", block_of(input), name), std::move(parts));
}

// `all`: for each expert 2 * d_expert rows.
Status add_gate_up(const RecipeInput& input, const MatrixPtr& all) {
  const int64_t both = all->rows() / input.shape.n_experts, half = both / 2;
  const bool turns = input.family.gates_alternate;
  EXO_CHECK_OK(add_slices(input, "ffn_gate_exps", all, both, {0, half, turns ? 2 : 1}));
  return add_slices(input, "ffn_up_exps", all, both, {turns ? 1 : half, half, turns ? 2 : 1});
}

struct FusedExperts {
  MatrixPtr gate_up, down;  // for each expert rows of outputs; nullptr when the folder has none
};

// Tensors of all experts: modules' weights are [experts, outputs, inputs]; under their own names they are that or
// [experts, inputs, outputs], even within a family (programs that write folders differ), and only the sizes tell:
// one of the two tensors is not square.
Result<FusedExperts> find_fused(const RecipeInput& input) {
  const std::string gate_up = input.module + ".gate_up_proj", down = input.module + ".down_proj";
  FusedExperts found;
  EXO_TRY(found.gate_up, input.view.weight(gate_up));
  EXO_TRY(found.down, input.view.weight(down));
  if (found.gate_up != nullptr) return found;
  EXO_TRY(found.gate_up, input.view.tensor(gate_up));
  EXO_TRY(found.down, input.view.tensor(down));
  if (found.gate_up == nullptr || found.down == nullptr) return FusedExperts();
  const int64_t d_model = input.shape.d_model, n = input.shape.n_experts;
  const bool is_square = found.gate_up->cols() == d_model && found.gate_up->rows() == d_model * n;
  const bool is_turned = is_square ? found.down->cols() == d_model : found.gate_up->cols() != d_model;
  if (!is_turned) return found;
  EXO_TRY(found.gate_up, transpose(std::move(found.gate_up), n));
  EXO_TRY(found.down, transpose(std::move(found.down), n));
  return found;
}

Status add_fused_biases(const RecipeInput& input) {
  const std::string block = block_of(input);
  EXO_TRY(auto both, input.view.tensor(input.module + ".gate_up_proj_bias"));
  if (both != nullptr) {
    const bool turns = input.family.gates_alternate;
    const int64_t half = both->cols() / 2;
    EXO_TRY(auto gate, select_columns(both, {{0, half, turns ? 2 : 1}}));
    EXO_CHECK_OK(input.view.add_matrix(block + "ffn_gate_exps.bias", std::move(gate)));
    EXO_TRY(auto up, select_columns(both, {{turns ? 1 : half, half, turns ? 2 : 1}}));
    EXO_CHECK_OK(input.view.add_matrix(block + "ffn_up_exps.bias", std::move(up)));
  }
  EXO_TRY(auto down, input.view.tensor(input.module + ".down_proj_bias"));
  if (down == nullptr) return {};
  return input.view.add_matrix(block + "ffn_down_exps.bias", std::move(down));
}

Status add_whole_stack(const RecipeInput& input, std::string_view name, const MatrixPtr& all) {
  const int64_t rows = all->rows() / input.shape.n_experts;
  return add_slices(input, name, all, rows, {0, rows});
}

}  // namespace

Status experts(const RecipeInput& input) {
  if (input.shape.n_experts == 0) return {};
  for (const auto& part : kParts) EXO_CHECK_OK(add_single_experts(input, part));
  EXO_TRY(const auto fused, find_fused(input));
  if (fused.gate_up == nullptr) return {};
  EXO_CHECK_OK(add_gate_up(input, fused.gate_up));
  if (fused.down != nullptr) EXO_CHECK_OK(add_whole_stack(input, "ffn_down_exps", fused.down));
  return add_fused_biases(input);
}

Status fused_gate_up(const RecipeInput& input) {
  EXO_TRY(const auto all, input.view.weight(input.module));
  if (all == nullptr || input.shape.n_experts == 0) return {};
  return add_gate_up(input, all);
}

Status stacked_experts(const RecipeInput& input) {
  if (input.shape.n_experts == 0) return {};
  EXO_TRY(const auto fused, find_fused(input));
  if (fused.gate_up != nullptr) return {};  // the other layout, which `experts` reads
  for (const auto& part : kParts) {
    const std::string module = fmt::format("{}.{}", input.module, part.modules[0]);
    EXO_TRY(const auto all, input.view.weight(module));
    if (all == nullptr) continue;
    EXO_CHECK_OK(add_whole_stack(input, part.name, all));
    EXO_TRY(auto bias, input.view.tensor(module + ".bias"));
    if (bias == nullptr) continue;
    EXO_CHECK_OK(input.view.add_matrix(fmt::format("{}{}.bias", block_of(input), part.name), std::move(bias)));
  }
  return {};
}

Status expert_stack(const RecipeInput& input) {
  EXO_TRY(const auto all, input.view.weight(input.module));
  if (all == nullptr || input.shape.n_experts == 0) return {};
  return add_whole_stack(input, input.name.substr(input.name.rfind('.') + 1), all);
}

Status shared_gate_up(const RecipeInput& input) {
  EXO_TRY(const auto both, input.view.weight(input.module));
  if (both == nullptr) return {};
  const int64_t half = both->rows() / 2;
  EXO_TRY(auto gate, select_rows(both, {{0, half}}));
  EXO_CHECK_OK(input.view.add_matrix(block_of(input) + "ffn_gate_shexp.weight", std::move(gate)));
  EXO_TRY(auto up, select_rows(both, {{half, half}}));
  return input.view.add_matrix(block_of(input) + "ffn_up_shexp.weight", std::move(up));
}

}  // namespace exo::convert::recipes
