#include "model/recurrent_state.h"

#include <algorithm>

namespace exo::model {
namespace {

constexpr int32_t kMaxSlots = 1 << 16;
constexpr int64_t kUnusable = -1;

int64_t convolution_floats(const DeltaNet& net) { return (net.n_taps - 1) * net.mixed_width(); }
int64_t head_floats(const DeltaNet& net) { return net.value_width() * net.key_dim; }

}  // namespace

uint64_t state_bytes(const Hyperparameters& model, const LayerHyperparameters& layer) {
  if (!layer.is_delta_net) return 0;
  return static_cast<uint64_t>(convolution_floats(*model.delta_net) + head_floats(*model.delta_net)) *
         sizeof(float);
}

Result<RecurrentState> RecurrentState::allocate(const Hyperparameters& model, const StageConfig& config,
                                                ops::Ops& ops) {
  RecurrentState out;
  const auto n_slots = static_cast<size_t>(std::max(config.max_slots, 0));
  for (LayerIndex i = config.layers.begin; i < config.layers.end; ++i) {
    const auto& layer = model.layers[static_cast<size_t>(i.value)];
    auto& state = out.layers_.emplace_back();
    if (!layer.is_delta_net) continue;
    if (config.max_slots < 1 || config.max_slots > kMaxSlots) {
      return fail(ErrorCode::kInvalidArgument, "{} slots for sequences; 1…{} are possible", config.max_slots,
                  kMaxSlots);
    }
    const auto& net = *model.delta_net;
    const uint64_t bytes = state_bytes(model, layer) * n_slots;
    EXO_TRY(auto buffer, ops.allocate(bytes));
    state.convolution = {reinterpret_cast<float*>(buffer->data()), convolution_floats(net)};
    state.heads = {state.convolution.data + static_cast<int64_t>(n_slots) * convolution_floats(net),
                   head_floats(net)};
    out.buffers_.push_back(std::move(buffer));
    out.bytes_ += bytes;
  }
  // Also on a stage whose blocks all have attention: what a peer sends is refused alike everywhere.
  if (model.delta_net) out.next_positions_.assign(n_slots, kUnusable);
  return out;
}

Status RecurrentState::check(std::span<const StepSequence> sequences) const {
  if (next_positions_.empty()) return {};
  for (size_t i = 0; i < sequences.size(); ++i) {
    const int32_t slot = sequences[i].slot;
    if (slot < 0 || static_cast<size_t>(slot) >= next_positions_.size()) {
      return fail(ErrorCode::kInvalidArgument, "slot {} of {}", slot, next_positions_.size());
    }
    const auto same = [slot](const StepSequence& other) { return other.slot == slot; };
    if (std::ranges::any_of(sequences.first(i), same)) {
      return fail(ErrorCode::kInvalidArgument, "slot {} twice in a step", slot);
    }
    if (sequences[i].n_draft != 0) return fail(ErrorCode::kInvalidArgument, "drafts for a model with a state");
    const int64_t first = sequences[i].first.value, next = next_positions_[static_cast<size_t>(slot)];
    if (first != 0 && first != next) {
      return fail(ErrorCode::kInvalidArgument,
                  "slot {} continues at position {}, but its state is that of the {} before", slot, first,
                  std::max<int64_t>(next, 0));
    }
  }
  return {};
}

void RecurrentState::begin_step(std::span<const StepSequence> sequences) {
  if (next_positions_.empty()) return;
  for (const auto& sequence : sequences) next_positions_[static_cast<size_t>(sequence.slot)] = kUnusable;
}

void RecurrentState::end_step(std::span<const StepSequence> sequences) {
  if (next_positions_.empty()) return;
  for (const auto& sequence : sequences) {
    next_positions_[static_cast<size_t>(sequence.slot)] = int64_t{sequence.first.value} + sequence.n_tokens;
  }
}

}  // namespace exo::model
