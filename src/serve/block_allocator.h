#pragma once
// Which KV blocks of an epoch are in use, and by how many sequences. Decided here once, mirrored by every stage.

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"

namespace exo::serve {

class BlockAllocator {
 public:
  explicit BlockAllocator(int32_t n_blocks);

  // A block with one reference; nullopt when none is free.
  std::optional<BlockId> allocate();
  void retain(BlockId block);
  // Takes one reference back; true when it was the last. The block is then neither used nor free: reclaim() frees
  // it, retain() uses it again.
  bool release(BlockId block);
  void reclaim(BlockId block);

  int32_t references(BlockId block) const { return references_[block.value]; }
  int32_t size() const { return static_cast<int32_t>(references_.size()); }
  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }

 private:
  std::vector<int32_t> references_;  // [n_blocks]
  std::vector<BlockId> free_;        // a stack: the lowest ids are given out first
};

}  // namespace exo::serve
