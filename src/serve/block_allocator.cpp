#include "serve/block_allocator.h"

#include <algorithm>

#include "base/check.h"

namespace exo::serve {

BlockAllocator::BlockAllocator(int32_t n_blocks) : references_(static_cast<size_t>(std::max(n_blocks, 0)), 0) {
  free_.reserve(references_.size());
  for (size_t i = references_.size(); i-- > 0;) free_.push_back(BlockId(static_cast<uint32_t>(i)));
}

std::optional<BlockId> BlockAllocator::allocate() {
  if (free_.empty()) return std::nullopt;
  const BlockId block = free_.back();
  free_.pop_back();
  references_[block.value] = 1;
  return block;
}

void BlockAllocator::retain(BlockId block) { ++references_[block.value]; }

bool BlockAllocator::release(BlockId block) {
  EXO_CHECK(references_[block.value] > 0);
  return --references_[block.value] == 0;
}

void BlockAllocator::reclaim(BlockId block) {
  EXO_CHECK(references_[block.value] == 0);
  free_.push_back(block);
}

}  // namespace exo::serve
