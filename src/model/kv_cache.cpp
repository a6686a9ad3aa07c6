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

namespace {

// All heads and positions of a block lie together.
uint64_t block_part_bytes(const ops::KvCacheView& view, int32_t width) {
  return *row_bytes(view.type, static_cast<uint64_t>(width)) * static_cast<uint64_t>(view.n_kv_heads) *
         static_cast<uint64_t>(view.block_positions);
}
uint64_t key_block_bytes(const ops::KvCacheView& view) { return block_part_bytes(view, view.key_dim); }
uint64_t value_block_bytes(const ops::KvCacheView& view) {
  return view.values_in_keys ? 0 : block_part_bytes(view, view.value_dim);
}

}  // namespace

uint64_t KvCache::block_bytes(size_t i) const { return key_block_bytes(views_[i]) + value_block_bytes(views_[i]); }

void KvCache::read_block(size_t i, BlockId block, ops::Ops& ops, std::span<std::byte> to) const {
  const auto& view = views_[i];
  const uint64_t keys = key_block_bytes(view), values = value_block_bytes(view);
  ops.read_bytes(view.keys + block.value * keys, to.first(keys));
  if (values > 0) ops.read_bytes(view.values + block.value * values, to.subspan(keys, values));
}

void KvCache::write_block(size_t i, BlockId block, ops::Ops& ops, std::span<const std::byte> from) {
  const auto& view = views_[i];
  const uint64_t keys = key_block_bytes(view), values = value_block_bytes(view);
  ops.write_bytes(from.first(keys), view.keys + block.value * keys);
  if (values > 0) ops.write_bytes(from.subspan(keys, values), view.values + block.value * values);
}

}  // namespace exo::model
