#pragma once
// KV blocks that outlive their sequence, found again by the tokens they hold. A full block is known by its own
// tokens and by the block before it, so a match means that the whole prefix is equal; tokens are compared, not only
// hashed. Blocks that no sequence uses are kept until their room is needed, then go least recently used first.

#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "serve/block_allocator.h"

namespace exo::serve {

class PrefixCache {
 public:
  // Identifies a cached chain of blocks from position 0; 0 is the empty chain. Never given out twice.
  using ChainId = uint64_t;

  PrefixCache(int32_t n_blocks, int32_t block_positions);

  // A block with one reference: a free one, else the least recently used of those that are only cached.
  std::optional<BlockId> allocate();
  // How many allocate() calls would succeed now.
  int32_t available() const { return blocks_.free_blocks() + static_cast<int32_t>(unused_.size()); }
  int32_t size() const { return blocks_.size(); }
  int32_t block_positions() const { return block_positions_; }

  struct Match {
    std::vector<BlockId> blocks;  // one reference each, now the caller's
    ChainId chain = 0;
  };
  // The longest cached prefix of `tokens` in whole blocks, short of the last token: one is always computed.
  Match match(std::span<const TokenId> tokens);

  // Makes `block`, whose content every stage has computed, findable: it holds `tokens` (exactly one block of them)
  // after the chain `parent`. Returns the chain that ends with these tokens. When equal tokens are cached already,
  // those stay and `block` remains private to its sequence; but where nobody uses those, `block` takes their place,
  // so that what sequences use is not forgotten before what follows it.
  ChainId insert(ChainId parent, std::span<const TokenId> tokens, BlockId block);

  // What is cached, for another cache to take it over: each block after the one before it in its text. First those
  // that sequences use, with all that comes before them, then the most recently used; at most `most` blocks, and
  // `most_unused` of those that nobody uses. The spans are valid until the cache changes.
  struct Cached {
    BlockId block;
    int32_t parent = -1;  // index in the list; -1: it begins a text
    std::span<const TokenId> tokens;
  };
  std::vector<Cached> list(size_t most, size_t most_unused) const;
  // One more reference to a cached block: it stays as it is until release().
  void hold(BlockId block);

  // For content that comes from another cache: a free block with one reference, if `spare` others are left; nothing
  // is forgotten for it.
  std::optional<BlockId> allocate_free(int32_t spare);
  // The chain that ends with these tokens after `parent`; 0: it is not cached.
  ChainId find(ChainId parent, std::span<const TokenId> tokens) const;
  // insert() and release() of a block of allocate_free(): it is the first to be forgotten, before those that were
  // adopted earlier.
  ChainId adopt(ChainId parent, std::span<const TokenId> tokens, BlockId block);

  // Takes the caller's references back. Later entries are forgotten before earlier ones.
  void release(std::span<const BlockId> blocks);
  // Forgets everything that is only cached, e.g. when stages may have lost it.
  void clear();

 private:
  struct Key {
    ChainId parent = 0;
    std::vector<TokenId> tokens;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const noexcept;
  };
  struct Entry {
    ChainId chain = 0;
    BlockId block;
  };
  struct Place {               // of one block
    const Key* key = nullptr;  // set while cached
    std::list<BlockId>::iterator unused;
    bool is_unused = false;
  };

  void use(BlockId block);
  void forget(BlockId block);
  void replace(BlockId old, BlockId block);  // of equal content

  BlockAllocator blocks_;
  const int32_t block_positions_;
  ChainId last_chain_ = 0;
  std::unordered_map<Key, Entry, KeyHash> entries_;
  std::vector<Place> places_;  // [n_blocks]
  std::list<BlockId> unused_;  // cached and without references, least recently used first
};

}  // namespace exo::serve
