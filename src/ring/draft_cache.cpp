#include "ring/draft_cache.h"

#include <algorithm>

namespace exo::ring {
namespace {

size_t common_prefix(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

DraftCache::DraftCache(int32_t n_blocks, int32_t block_positions)
    : n_blocks_(n_blocks), block_positions_(block_positions) {
  for (int32_t block = n_blocks; block-- > 0;) free_.emplace_back(static_cast<uint32_t>(block));
}

int32_t DraftCache::align(const Key& key, std::span<const TokenId> tokens) {
  Entry& entry = entries_[key];
  entry.retired = false;
  if (entry.tokens.empty()) adopt(entry, tokens);
  entry.tokens.resize(common_prefix(entry.tokens, tokens));
  return static_cast<int32_t>(entry.tokens.size());
}

void DraftCache::adopt(Entry& entry, std::span<const TokenId> tokens) {
  auto best = entries_.end();
  size_t most = 0;
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    if (!at->second.retired) continue;
    const size_t common = common_prefix(at->second.tokens, tokens);
    if (common <= most) continue;
    most = common;
    best = at;
  }
  if (best == entries_.end()) return;
  give_back(entry, 0);
  entry.tokens = std::move(best->second.tokens);
  entry.blocks = std::move(best->second.blocks);
  entries_.erase(best);
}

int32_t DraftCache::computed(const Key& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? 0 : static_cast<int32_t>(found->second.tokens.size());
}

std::span<const BlockId> DraftCache::blocks(const Key& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? std::span<const BlockId>() : found->second.blocks;
}

bool DraftCache::reserve(const Key& key, int32_t n_positions) {
  if (n_positions > positions()) return false;
  Entry& entry = entries_[key];
  entry.used = pass_;
  const auto wanted = static_cast<size_t>((n_positions + block_positions_ - 1) / block_positions_);
  while (entry.blocks.size() < wanted) {
    if (free_.empty() && !evict_one(key)) return false;
    entry.blocks.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

bool DraftCache::evict_one(const Key& keep) {
  auto victim = entries_.end();
  for (auto at = entries_.begin(); at != entries_.end(); ++at) {
    const Entry& entry = at->second;
    if (at->first == keep || entry.blocks.empty() || (!entry.retired && entry.used == pass_)) continue;
    const auto rank = [](const Entry& e) { return std::pair(!e.retired, e.used); };
    if (victim == entries_.end() || rank(entry) < rank(victim->second)) victim = at;
  }
  if (victim == entries_.end()) return false;
  give_back(victim->second, 0);
  victim->second.tokens.clear();
  if (victim->second.retired) entries_.erase(victim);
  return true;
}

void DraftCache::give_back(Entry& entry, size_t n_blocks_kept) {
  while (entry.blocks.size() > n_blocks_kept) {
    free_.push_back(entry.blocks.back());
    entry.blocks.pop_back();
  }
}

void DraftCache::append(const Key& key, std::span<const TokenId> tokens) {
  Entry& entry = entries_[key];
  entry.tokens.insert(entry.tokens.end(), tokens.begin(), tokens.end());
}

void DraftCache::retire(const Key& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  if (found->second.tokens.empty()) return drop(key);
  found->second.retired = true;
}

void DraftCache::drop(const Key& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  give_back(found->second, 0);
  entries_.erase(found);
}

}  // namespace exo::ring
