#include "cluster/stage_memory.h"

#include <algorithm>

namespace exo::cluster {
namespace {

// Sums over 4096 layers stay below 2^63.
constexpr uint64_t kMostBytes = uint64_t{1} << 50;
constexpr uint64_t kMostKvBytes = uint64_t{1} << 26;
constexpr uint64_t kMostStateBytes = uint64_t{1} << 34;
constexpr int32_t kMostContext = 1 << 24;
constexpr int32_t kMostSequences = 1 << 12;
constexpr int32_t kMostLayers = 4096, kMostWidth = 1 << 22, kMostRows = 1 << 16;
constexpr int32_t kMostParts = 1024;  // heads
// Rows of activations alive at once, in units of d_model: residual, normed, q/k/v, attention output, gate, up,
// product.
constexpr uint64_t kActivationRows = 16;
constexpr uint64_t kLogitRows = 32;

}  // namespace

Result<StageMemory> StageMemory::of(const wire::ModelFacts& model, const PlacementRequest& request) {
  const auto layers = static_cast<size_t>(std::max(model.n_layers, 0));
  const auto too_big = [](const std::vector<uint64_t>& values, uint64_t most) {
    return std::any_of(values.begin(), values.end(), [most](uint64_t value) { return value > most; });
  };
  if (layers == 0 || model.n_layers > kMostLayers || model.layer_bytes.size() != layers ||
      model.kv_bytes_per_position.size() != layers) {
    return fail(ErrorCode::kInvalidArgument, "model {}: {} layers, but sizes of {} and KV sizes of {}", model.name,
                model.n_layers, model.layer_bytes.size(), model.kv_bytes_per_position.size());
  }
  if (!model.state_bytes.empty() && model.state_bytes.size() != layers) {
    return fail(ErrorCode::kInvalidArgument, "model {}: {} layers, but states of {}", model.name, model.n_layers,
                model.state_bytes.size());
  }
  if (too_big(model.layer_bytes, kMostBytes) || too_big(model.kv_bytes_per_position, kMostKvBytes) ||
      too_big(model.state_bytes, kMostStateBytes) || model.embedding_bytes > kMostBytes ||
      model.head_bytes > kMostBytes || model.d_model < 0 || model.d_model > kMostWidth || model.n_vocab < 0) {
    return fail(ErrorCode::kInvalidArgument, "model {}: sizes out of range", model.name);
  }
  if (request.context_tokens < 0 || request.context_tokens > kMostContext || request.max_batch_rows < 1 ||
      request.max_batch_rows > kMostRows || request.min_stages < 0) {
    return fail(ErrorCode::kInvalidArgument, "placement: context of {}, batch of {} or {} stages is out of range",
                request.context_tokens, request.max_batch_rows, request.min_stages);
  }
  bool experts = model.expert_bytes.empty() || model.expert_bytes.size() == layers;
  for (size_t i = 0; experts && i < model.expert_bytes.size(); ++i) {
    experts = model.expert_bytes[i] <= model.layer_bytes[i];
  }
  if (!experts || model.n_experts < 0 || model.n_experts_used < 0 || model.n_experts_used > model.n_experts ||
      model.attention_width < 0 || model.tensor_parallel_parts < 0 || model.tensor_parallel_parts > kMostParts) {
    return fail(ErrorCode::kInvalidArgument, "model {}: its experts or heads contradict its sizes", model.name);
  }
  StageMemory memory;
  memory.weights_.resize(layers + 1);
  memory.kv_.resize(layers + 1);
  const auto context = static_cast<uint64_t>(request.context_tokens);
  const auto n_sequences = static_cast<uint64_t>(std::clamp(request.max_sequences, 0, kMostSequences));
  for (size_t i = 0; i < layers; ++i) {
    memory.weights_[i + 1] = memory.weights_[i] + model.layer_bytes[i];
    const uint64_t states = model.state_bytes.empty() ? 0 : model.state_bytes[i] * n_sequences;
    memory.kv_[i + 1] = memory.kv_[i] + model.kv_bytes_per_position[i] * context + states;
  }
  memory.embedding_ = model.embedding_bytes;
  memory.head_ = model.head_bytes;
  memory.activations_ = static_cast<uint64_t>(request.max_batch_rows) * static_cast<uint64_t>(model.d_model) *
                        sizeof(float) * kActivationRows;
  memory.logits_ = static_cast<uint64_t>(model.n_vocab) * sizeof(float) * kLogitRows;
  return memory;
}

uint64_t StageMemory::weight_bytes(int32_t begin, int32_t end) const {
  return weights_[static_cast<size_t>(end)] - weights_[static_cast<size_t>(begin)] + (begin == 0 ? embedding_ : 0) +
         (end == n_layers() ? head_ : 0);
}

uint64_t StageMemory::kv_bytes(int32_t begin, int32_t end) const {
  return kv_[static_cast<size_t>(end)] - kv_[static_cast<size_t>(begin)];
}

uint64_t StageMemory::activation_bytes(int32_t, int32_t end) const {
  return activations_ + (end == n_layers() ? logits_ : 0);
}

uint64_t StageMemory::need(int32_t begin, int32_t end) const {
  return weight_bytes(begin, end) + kv_bytes(begin, end) + activation_bytes(begin, end);
}

}  // namespace exo::cluster
