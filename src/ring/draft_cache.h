#pragma once
// What a draft model has computed of which sequences, and in which blocks of its KV cache that lies. No computing
// here. Sequences that nobody asks for any more keep their blocks until others need them, and pass what they hold
// on to a new sequence that begins like them: the next turn of a conversation.

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace exo::ring {

class DraftCache {
 public:
  using Key = std::pair<uint64_t, uint64_t>;  // who asks, and their number for the sequence

  DraftCache(int32_t n_blocks, int32_t block_positions);

  // Keeps of the sequence's content what `tokens` begin with and drops the rest. A sequence without content takes
  // over that of the retired one with most in common. Returns how many tokens are computed.
  int32_t align(const Key& key, std::span<const TokenId> tokens);
  int32_t computed(const Key& key) const;
  std::span<const BlockId> blocks(const Key& key) const;

  // Sequences that have room in the same pass do not take it from each other.
  void begin_pass() { ++pass_; }
  // Room for so many positions: free blocks, else those of retired sequences, else those of the sequence that
  // waited longest. False: there is not so much room.
  bool reserve(const Key& key, int32_t n_positions);
  // These tokens, behind the ones before, are computed now.
  void append(const Key& key, std::span<const TokenId> tokens);

  void retire(const Key& key);
  void drop(const Key& key);  // what it holds is worth nothing

  int32_t free_blocks() const { return static_cast<int32_t>(free_.size()); }
  int32_t positions() const { return n_blocks_ * block_positions_; }

 private:
  struct Entry {
    std::vector<TokenId> tokens;  // computed
    std::vector<BlockId> blocks;
    uint64_t used = 0;  // the pass that used it last
    bool retired = false;
  };

  void adopt(Entry& entry, std::span<const TokenId> tokens);
  bool evict_one(const Key& keep);
  void give_back(Entry& entry, size_t n_blocks_kept);

  const int32_t n_blocks_, block_positions_;
  std::vector<BlockId> free_;
  std::map<Key, Entry> entries_;
  uint64_t pass_ = 0;
};

}  // namespace exo::ring
