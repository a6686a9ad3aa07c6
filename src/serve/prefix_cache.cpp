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
    use(entry->second.block);
    found.blocks.push_back(entry->second.block);
    found.chain = entry->second.chain;
  }
  return found;
}

void PrefixCache::use(BlockId block) {
  Place& place = places_[block.value];
  if (place.is_unused) {
    unused_.erase(place.unused);
    place.is_unused = false;
  }
  blocks_.retain(block);
}

void PrefixCache::hold(BlockId block) {
  EXO_DCHECK(places_[block.value].key != nullptr);
  use(block);
}

std::vector<PrefixCache::Cached> PrefixCache::list(size_t most, size_t most_unused) const {
  std::unordered_map<ChainId, BlockId> ends;  // the block that a chain ends with
  for (const auto& [key, entry] : entries_) ends.emplace(entry.chain, entry.block);
  std::vector<Cached> listed;
  std::unordered_map<ChainId, int32_t> known;  // chains that are listed, by place
  size_t unused = 0;
  std::vector<BlockId> path;  // from `block` back to the first one that is not listed
  const auto add = [&](BlockId block) {
    path.clear();
    ChainId chain = 0;
    size_t path_unused = 0;
    for (BlockId at = block;;) {
      const Key& key = *places_[at.value].key;
      if (known.contains(entries_.find(key)->second.chain)) return;
      path.push_back(at);
      path_unused += places_[at.value].is_unused;
      chain = key.parent;
      if (chain == 0 || known.contains(chain)) break;
      const auto before = ends.find(chain);
      if (before == ends.end()) return;  // what it follows is not cached any more
      at = before->second;
    }
    if (listed.size() + path.size() > most || unused + path_unused > most_unused) return;
    unused += path_unused;
    int32_t parent = chain == 0 ? -1 : known.at(chain);
    for (size_t i = path.size(); i-- > 0;) {
      const Key& key = *places_[path[i].value].key;
      listed.push_back({path[i], parent, key.tokens});
      parent = static_cast<int32_t>(listed.size()) - 1;
      known.emplace(entries_.find(key)->second.chain, parent);
    }
  };
  for (size_t i = 0; i < places_.size(); ++i)
    if (places_[i].key != nullptr && !places_[i].is_unused) add(BlockId(static_cast<uint32_t>(i)));
  for (auto at = unused_.rbegin(); at != unused_.rend(); ++at) add(*at);
  return listed;
}

std::optional<BlockId> PrefixCache::allocate_free(int32_t spare) {
  if (blocks_.free_blocks() == 0 || available() <= spare) return std::nullopt;
  return blocks_.allocate();
}

PrefixCache::ChainId PrefixCache::find(ChainId parent, std::span<const TokenId> tokens) const {
  const auto entry = entries_.find(Key{parent, {tokens.begin(), tokens.end()}});
  return entry == entries_.end() ? 0 : entry->second.chain;
}

PrefixCache::ChainId PrefixCache::adopt(ChainId parent, std::span<const TokenId> tokens, BlockId block) {
  const ChainId known = find(parent, tokens);
  const ChainId chain = known != 0 ? known : insert(parent, tokens, block);
  release({&block, 1});
  if (Place& place = places_[block.value]; place.is_unused) unused_.splice(unused_.begin(), unused_, place.unused);
  return chain;
}

PrefixCache::ChainId PrefixCache::insert(ChainId parent, std::span<const TokenId> tokens, BlockId block) {
  EXO_DCHECK(tokens.size() == static_cast<size_t>(block_positions_));
  EXO_DCHECK(blocks_.references(block) > 0);
  Key key{parent, {tokens.begin(), tokens.end()}};
  if (const auto entry = entries_.find(key); entry != entries_.end()) {
    if (places_[entry->second.block.value].is_unused && places_[block.value].key == nullptr)
      replace(entry->second.block, block);
    return entry->second.chain;
  }
  if (places_[block.value].key != nullptr) return ++last_chain_;  // holds another chain: what follows stays private
  const auto [entry, inserted] = entries_.emplace(std::move(key), Entry{++last_chain_, block});
  places_[block.value].key = &entry->first;
  return entry->second.chain;
}

void PrefixCache::replace(BlockId old, BlockId block) {
  Place& place = places_[old.value];
  places_[block.value].key = place.key;
  entries_.find(*place.key)->second.block = block;
  unused_.erase(place.unused);
  place = {};
  blocks_.reclaim(old);
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
