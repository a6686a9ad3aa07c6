#include "model/workspace.h"

#include <algorithm>

namespace exo::model {

Result<Workspace> Workspace::allocate(const Hyperparameters& model, LayerRange layers, int32_t max_rows,
                                      ops::Ops& ops) {
  int64_t query = 0, key = 0, value = 0, attended = 0, d_ff = 0, d_expert = 0, low_rank = 0, heads = 0;
  const DeltaNet* net = nullptr;
  for (LayerIndex i = layers.begin; i < layers.end; ++i) {
    const auto& layer = model.layers[static_cast<size_t>(i.value)];
    query = std::max(query, int64_t{layer.n_heads} * model.key_dim);
    key = std::max(key, int64_t{layer.n_kv_heads} * model.key_dim);
    value = std::max(value, int64_t{layer.n_kv_heads} * model.value_dim);
    attended = std::max(attended, int64_t{layer.n_heads} * model.value_dim);
    d_ff = std::max(d_ff, int64_t{layer.d_ff});
    d_expert = std::max(d_expert, int64_t{layer.d_expert});
    if (layer.is_delta_net) {
      net = &*model.delta_net;
      attended = std::max(attended, net->value_width());
    }
    if (model.architecture->gates_attention) heads = std::max(heads, 2 * query);
    if (model.latent) {
      low_rank = int64_t{model.latent->query_rank};
      const int64_t dim = std::max(model.latent->plain_dim + model.latent->rope_dim, model.latent->value_dim);
      heads = std::max(heads, layer.n_heads * dim);
    }
  }
  Workspace out;
  const int64_t d = model.d_model;
  const int64_t n_experts = d_expert > 0 ? model.experts.n_experts : 0;
  const int64_t n_chosen = d_expert > 0 ? model.experts.n_chosen : 0;
  ops::Tensor chosen;
  struct Slot {
    ops::Tensor* tensor;
    int64_t cols;
  };
  const Slot slots[] = {{&out.hidden, d},
                        {&out.normed, d},
                        {&out.normed_ff, d},
                        {&out.result, d},
                        {&out.query, query},
                        {&out.key, key},
                        {&out.value, value},
                        {&out.attended, attended},
                        {&out.gate, d_ff},
                        {&out.up, d_ff},
                        {&out.router, n_experts},
                        {&chosen, n_chosen},
                        {&out.expert_weights, n_chosen},
                        {&out.expert_gate, n_chosen * d_expert},
                        {&out.expert_up, n_chosen * d_expert},
                        {&out.expert_outputs, n_chosen * d},
                        {&out.low_rank, low_rank},
                        {&out.heads, heads},
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
