#pragma once
// The paged key-value cache of a stage's blocks. Which pages belong to which sequence is the scheduler's business.

#include <memory>
#include <span>
#include <vector>

#include "model/hyperparameters.h"
#include "model/stage.h"
#include "ops/ops.h"

namespace exo::model {

class KvCache {
 public:
  // kInvalidArgument for a type or sizes that make no cache, kResourceExhausted when it does not fit.
  static Result<KvCache> allocate(const Hyperparameters& model, const StageConfig& config, ops::Ops& ops);

  // Of the stage's i-th block, counted from its first.
  const ops::KvCacheView& layer(size_t i) const { return views_[i]; }
  uint64_t bytes() const { return bytes_; }

  // The keys and the values of one block of the stage's i-th layer.
  uint64_t block_bytes(size_t i) const;
  // One block's keys, then its values. The block is one of the cache's, the bytes are block_bytes(i).
  void read_block(size_t i, BlockId block, ops::Ops& ops, std::span<std::byte> to) const;
  void write_block(size_t i, BlockId block, ops::Ops& ops, std::span<const std::byte> from);

 private:
  std::vector<std::unique_ptr<ops::Buffer>> buffers_;
  std::vector<ops::KvCacheView> views_;
  uint64_t bytes_ = 0;
};

// Bytes of one position in one block's cache; nullopt when the head's width is no whole number of `type` blocks.
std::optional<uint64_t> kv_bytes_per_position(const Hyperparameters& model, const LayerHyperparameters& layer,
                                              ElementType type);

}  // namespace exo::model
