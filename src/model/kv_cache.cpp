#include "model/kv_cache.h"

namespace exo::model {
namespace {

constexpr uint64_t kAlignment = 64;

bool is_cache_type(ElementType type) {
  return type == ElementType::kF32 || type == ElementType::kF16 || type == ElementType::kQ8_0;
}

// Bytes of all pages of one head width; nullopt on overflow.
std::optional<uint64_t> pages_bytes(const StageConfig& config, int32_t n_kv_heads, uint64_t head_bytes) {
  uint64_t bytes = head_bytes;
  for (const int32_t factor : {n_kv_heads, config.block_positions, config.n_blocks}) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(factor), &bytes)) return std::nullopt;
  }
  if (bytes > UINT64_MAX / 4) return std::nullopt;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

std::optional<uint64_t> kv_bytes_per_position(const Hyperparameters& model, const LayerHyperparameters& layer,
                                              ElementType type) {
  const auto key = row_bytes(type, static_cast<uint64_t>(model.key_dim));
  const auto value = row_bytes(type, static_cast<uint64_t>(model.value_dim));
  if (!key || !value) return std::nullopt;
  return (model.latent ? *key : *key + *value) * static_cast<uint64_t>(layer.n_kv_heads);
}

Result<KvCache> KvCache::allocate(const Hyperparameters& model, const StageConfig& config, ops::Ops& ops) {
  if (config.n_blocks < 1 || config.block_positions < 1) {
    return fail(ErrorCode::kInvalidArgument, "a cache of {} blocks of {} positions", config.n_blocks,
                config.block_positions);
  }
  if (!is_cache_type(config.kv_type)) {
    return fail(ErrorCode::kInvalidArgument, "a cache in {}; F32, F16 and Q8_0 exist", info(config.kv_type).name);
  }
  const auto key_bytes = row_bytes(config.kv_type, static_cast<uint64_t>(model.key_dim));
  const auto value_bytes = row_bytes(config.kv_type, static_cast<uint64_t>(model.value_dim));
  if (!key_bytes || !value_bytes) {
    return fail(ErrorCode::kInvalidArgument,
                "heads of {} and {} numbers are no whole {} blocks: choose a F16 cache", model.key_dim,
                model.value_dim, info(config.kv_type).name);
  }
  KvCache cache;
  for (LayerIndex i = config.layers.begin; i < config.layers.end; ++i) {
    const auto n_kv_heads =
        static_cast<int32_t>(config.share.kv_heads(model.layers[static_cast<size_t>(i.value)]).count);
    const bool shared = model.latent.has_value();
    const auto keys = pages_bytes(config, n_kv_heads, *key_bytes),
               values = pages_bytes(config, n_kv_heads, shared ? 0 : *value_bytes);
    if (!keys || !values) return fail(ErrorCode::kInvalidArgument, "the cache's size overflows");
    EXO_TRY(auto buffer, ops.allocate(*keys + *values));
    cache.views_.push_back({.keys = buffer->data(),
                            .values = shared ? nullptr : buffer->data() + *keys,
                            .type = config.kv_type,
                            .n_blocks = config.n_blocks,
                            .block_positions = config.block_positions,
                            .n_kv_heads = n_kv_heads,
                            .key_dim = model.key_dim,
                            .value_dim = model.value_dim,
                            .values_in_keys = shared});
    cache.bytes_ += *keys + *values;
    cache.buffers_.push_back(std::move(buffer));
  }
  return cache;
}

}  // namespace exo::model
