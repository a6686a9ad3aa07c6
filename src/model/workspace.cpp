#include "model/workspace.h"

#include <algorithm>

namespace exo::model {

namespace {

// Floats of one row, by what they hold; the most that any block needs.
struct Widths {
  int64_t query = 0, key = 0, value = 0, attended = 0, wide = 0, expert = 0, low_rank = 0, heads = 0;
  int64_t all_attended = 0, all_wide = 0, all_expert = 0, all_heads = 0;
  const DeltaNet* net = nullptr;

  void cover(const Hyperparameters& model, const LayerHyperparameters& layer, const TensorShare& share) {
    const RowPart own_heads = share.heads(layer), kv_heads = share.kv_heads(layer);
    query = std::max(query, own_heads.count * model.key_dim);
    key = std::max(key, kv_heads.count * model.key_dim);
    value = std::max(value, kv_heads.count * model.value_dim);
    attended = std::max(attended, own_heads.count * model.value_dim);
    wide = std::max(wide, share.part(split_rows(layer.d_ff)).count);
    expert = std::max(expert, share.part(split_rows(layer.d_expert)).count);
    if (layer.is_delta_net) {
      net = &*model.delta_net;
      attended = std::max(attended, net->value_width());
    }
    if (model.architecture->gates_attention) heads = std::max(heads, 2 * query);
    if (model.latent) {
      low_rank = int64_t{model.latent->query_rank};
      const int64_t dim = std::max(model.latent->plain_dim + model.latent->rope_dim, model.latent->value_dim);
      heads = std::max(heads, own_heads.count * dim);
    }
    if (share.is_whole()) return;
    const int64_t value_dim = model.latent ? model.latent->value_dim : model.value_dim;
    all_attended = std::max(all_attended, int64_t{layer.n_heads} * value_dim);
    all_wide = std::max(all_wide, int64_t{layer.d_ff});
    all_expert = std::max(all_expert, int64_t{layer.d_expert});
    if (model.architecture->qk_norm == QkNorm::kWholeRow)
      all_heads = std::max(all_heads, int64_t{layer.n_heads} * model.key_dim);
  }
};

}  // namespace

Result<Workspace> Workspace::allocate(const Hyperparameters& model, LayerRange layers, const TensorShare& share,
                                      int32_t max_rows, ops::Ops& ops) {
  Widths of;
  for (LayerIndex i = layers.begin; i < layers.end; ++i)
    of.cover(model, model.layers[static_cast<size_t>(i.value)], share);
  Workspace out;
  const int64_t d = model.d_model;
  const int64_t n_experts = of.expert > 0 ? model.experts.n_experts : 0;
  const int64_t n_chosen = of.expert > 0 ? model.experts.n_chosen : 0;
  const DeltaNet* net = of.net;
  ops::Tensor chosen;
  struct Slot {
    ops::Tensor* tensor;
    int64_t cols;
  };
  const Slot slots[] = {{&out.hidden, d},
                        {&out.normed, d},
                        {&out.normed_ff, d},
                        {&out.result, d},
                        {&out.query, of.query},
                        {&out.key, of.key},
                        {&out.value, of.value},
                        {&out.attended, of.attended},
                        {&out.gate, of.wide},
                        {&out.up, of.wide},
                        {&out.router, n_experts},
                        {&chosen, n_chosen},
                        {&out.expert_weights, n_chosen},
                        {&out.expert_gate, n_chosen * of.expert},
                        {&out.expert_up, n_chosen * of.expert},
                        {&out.expert_outputs, n_chosen * d},
                        {&out.all_attended, of.all_attended},
                        {&out.all_expanded, of.all_wide},
                        {&out.all_experts, n_chosen * of.all_expert},
                        {&out.all_heads, of.all_heads},
                        {&out.low_rank, of.low_rank},
                        {&out.heads, of.heads},
                        {&out.mixed, net ? net->mixed_width() : 0},
                        {&out.convolved, net ? net->mixed_width() : 0},
                        {&out.mixed_gate, net ? net->value_width() : 0},
                        {&out.mixed_a, net ? net->n_heads : 0},
                        {&out.mixed_b, net ? net->n_heads : 0}};
  constexpr int64_t kAlignedFloats = 16;
  const auto floats = [&](const Slot& slot) {
    return (slot.cols * max_rows + kAlignedFloats - 1) / kAlignedFloats * kAlignedFloats;
  };
  int64_t total = 0;
  for (const auto& slot : slots) total += floats(slot);
  EXO_TRY(out.buffer, ops.allocate(static_cast<size_t>(total) * sizeof(float)));
  auto* next = reinterpret_cast<float*>(out.buffer->data());
  for (const auto& slot : slots) {
    *slot.tensor = {next, max_rows, slot.cols, slot.cols};
    next += floats(slot);
  }
  static_assert(sizeof(int32_t) == sizeof(float));
  out.chosen_experts = reinterpret_cast<int32_t*>(chosen.data);
  return out;
}

}  // namespace exo::model
