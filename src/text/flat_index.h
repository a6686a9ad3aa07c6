#pragma once
// Open-addressing hash tables sized once: a string → int32 index whose keys live in the caller's arena, and a table
// for pairs of symbols. Lookups touch one or two cache lines and never allocate.

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace exo::text {

// Multiply-xorshift over eight bytes at a time. Not keyed: who can choose a vocabulary's tokens
// can slow only the lookups in that vocabulary.
inline uint64_t hash_bytes(std::string_view bytes) {
  uint64_t h = 0x9E3779B97F4A7C15ull ^ (bytes.size() * 0xD6E8FEB86659FD93ull);
  const char* p = bytes.data();
  size_t n = bytes.size();
  const auto mix = [&h](uint64_t word) {
    h = (h ^ word) * 0xFF51AFD7ED558CCDull;
    h ^= h >> 32;
  };
  for (; n >= 8; p += 8, n -= 8) {
    uint64_t word;
    std::memcpy(&word, p, 8);
    mix(word);
  }
  uint64_t tail = 0;
  std::memcpy(&tail, p, n);
  mix(tail);
  return (h * 0xC4CEB9FE1A85EC53ull) >> 8;
}

// A power of two, at most two thirds full.
inline size_t table_size_for(size_t entries) {
  size_t size = 16;
  while (size * 2 < entries * 3) size *= 2;
  return size;
}

// Keys are given by a function id → string_view, so that the table holds only ids and a piece of their hash.
class StringIndex {
 public:
  explicit StringIndex(size_t entries = 0) : slots_(table_size_for(entries)), mask_(slots_.size() - 1) {}

  // Keeps the first of equal keys: false when `key` was there already.
  template <typename KeyOf>
  bool insert(std::string_view key, int32_t id, const KeyOf& key_of) {
    const uint64_t hash = hash_bytes(key);
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].id < 0) {
        slots_[i] = {id, static_cast<uint32_t>(hash >> 24)};
        return true;
      }
      if (slots_[i].tag == static_cast<uint32_t>(hash >> 24) && key_of(slots_[i].id) == key) return false;
    }
  }

  // -1 when absent.
  template <typename KeyOf>
  int32_t find(std::string_view key, const KeyOf& key_of) const {
    const uint64_t hash = hash_bytes(key);
    for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
      if (slots_[i].id < 0) return -1;
      if (slots_[i].tag == static_cast<uint32_t>(hash >> 24) && key_of(slots_[i].id) == key) return slots_[i].id;
    }
  }

 private:
  struct Slot {
    int32_t id = -1;
    uint32_t tag = 0;
  };
  std::vector<Slot> slots_;
  size_t mask_;
};

// (left, right) symbols → what they merge into and how early.
class PairTable {
 public:
  struct Merge {
    int32_t rank = -1;  // lower merges first; -1: the pair does not merge
    int32_t symbol = -1;
  };

  explicit PairTable(size_t entries = 0) : slots_(table_size_for(entries)), mask_(slots_.size() - 1) {}

  // Keeps the first of equal pairs.
  void insert(int32_t left, int32_t right, Merge merge) {
    const uint64_t key = key_of(left, right);
    size_t i = home(key);
    while (slots_[i].merge.rank >= 0) {
      if (slots_[i].key == key) return;
      i = (i + 1) & mask_;
    }
    slots_[i] = {key, merge};
  }

  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t i = home(key);; i = (i + 1) & mask_)
      if (slots_[i].merge.rank < 0 || slots_[i].key == key) return slots_[i].merge;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    Merge merge;
  };
  static uint64_t key_of(int32_t left, int32_t right) {
    return (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32) | static_cast<uint32_t>(right);
  }
  size_t home(uint64_t key) const {
    key = (key ^ (key >> 29)) * 0xBF58476D1CE4E5B9ull;
    return (key ^ (key >> 32)) & mask_;
  }
  std::vector<Slot> slots_;
  size_t mask_;
};

}  // namespace exo::text
