#include "serve/prefix_cache.h"

#include <algorithm>

#include "base/check.h"

namespace exo::serve {

size_t PrefixCache::KeyHash::operator()(const Key& key) const noexcept {
  uint64_t hash = key.parent * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull;
  for (const TokenId token : key.tokens) {
    hash ^= static_cast<uint32_t>(token.value);
    hash *= 0xFF51AFD7ED558CCDull;
    hash ^= hash >> 33;
  }
  return static_cast<size_t>(hash);
}

PrefixCache::PrefixCache(int32_t n_blocks, int32_t block_positions)
    : blocks_(n_blocks), block_positions_(block_positions), places_(static_cast<size_t>(blocks_.size())) {
  EXO_CHECK(block_positions > 0);
}

std::optional<BlockId> PrefixCache::allocate() {
  if (blocks_.free_blocks() == 0 && !unused_.empty()) {
    const BlockId oldest = unused_.front();
    forget(oldest);
  }
  return blocks_.allocate();
}

PrefixCache::Match PrefixCache::match(std::span<const TokenId> tokens) {
  Match found;
  const size_t per_block = static_cast<size_t>(block_positions_);
  Key key;
  for (size_t begin = 0; begin + per_block < tokens.size(); begin += per_block) {
    key.parent = found.chain;
    key.tokens.assign(tokens.begin() + static_cast<ptrdiff_t>(begin),
                      tokens.begin() + static_cast<ptrdiff_t>(begin + per_block));
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) break;
    const BlockId block = entry->second.block;
    Place& place = places_[block.value];
    if (place.is_unused) {
      unused_.erase(place.unused);
      place.is_unused = false;
    }
    blocks_.retain(block);
    found.blocks.push_back(block);
    found.chain = entry->second.chain;
  }
  return found;
}

PrefixCache::ChainId PrefixCache::insert(ChainId parent, std::span<const TokenId> tokens, BlockId block) {
  EXO_DCHECK(tokens.size() == static_cast<size_t>(block_positions_));
  EXO_DCHECK(blocks_.references(block) > 0);
  Key key{parent, {tokens.begin(), tokens.end()}};
  if (const auto entry = entries_.find(key); entry != entries_.end()) return entry->second.chain;
  if (places_[block.value].key != nullptr) return ++last_chain_;  // holds another chain: what follows stays private
  const auto [entry, inserted] = entries_.emplace(std::move(key), Entry{++last_chain_, block});
  places_[block.value].key = &entry->first;
  return entry->second.chain;
}

void PrefixCache::release(std::span<const BlockId> blocks) {
  for (size_t i = blocks.size(); i-- > 0;) {
    const BlockId block = blocks[i];
    if (!blocks_.release(block)) continue;
    Place& place = places_[block.value];
    if (place.key == nullptr) {
      blocks_.reclaim(block);
    } else {
      place.unused = unused_.insert(unused_.end(), block);
      place.is_unused = true;
    }
  }
}

void PrefixCache::clear() {
  while (!unused_.empty()) {
    const BlockId block = unused_.front();
    forget(block);
  }
}

void PrefixCache::forget(BlockId block) {
  Place& place = places_[block.value];
  unused_.erase(place.unused);
  place.is_unused = false;
  const auto entry = entries_.find(*place.key);
  EXO_CHECK(entry != entries_.end());
  place.key = nullptr;
  entries_.erase(entry);
  blocks_.reclaim(block);
}

}  // namespace exo::serve
