#pragma once
// Strong types for identifiers and positions: a LayerIndex cannot be passed where a Position is meant.

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/format.h"

namespace exo {

template <typename Tag, typename Integer>
struct StrongInt {
  using value_type = Integer;
  Integer value{};

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Integer v) : value(v) {}
  constexpr auto operator<=>(const StrongInt&) const = default;
  constexpr StrongInt& operator++() {
    ++value;
    return *this;
  }
};

using TokenId = StrongInt<struct TokenIdTag, int32_t>;        // index into the vocabulary
using Position = StrongInt<struct PositionTag, int32_t>;      // of a token in its sequence, from 0
using LayerIndex = StrongInt<struct LayerIndexTag, int32_t>;  // transformer block, from 0
using SlotId = StrongInt<struct SlotIdTag, int32_t>;     // a running sequence's place in every stage of an epoch
using BlockId = StrongInt<struct BlockIdTag, uint32_t>;  // a block of the paged KV cache
using MicroBatchId = StrongInt<struct MicroBatchIdTag, uint64_t>;  // rises by one per step of an epoch

// Half-open range of transformer blocks.
struct LayerRange {
  LayerIndex begin, end;
  constexpr int32_t size() const { return end.value - begin.value; }
  constexpr bool empty() const { return size() <= 0; }
  constexpr bool contains(LayerIndex layer) const { return layer >= begin && layer < end; }
  constexpr bool operator==(const LayerRange&) const = default;
};

// SHA-256 of a node's Ed25519 public key. Ordered bytewise: every node sorts peers alike.
struct NodeId {
  std::array<uint8_t, 32> bytes{};
  auto operator<=>(const NodeId&) const = default;
  std::string hex() const;                                      // 64 lower-case digits
  std::string short_hex() const { return hex().substr(0, 8); }  // for people
  static std::optional<NodeId> from_hex(std::string_view hex);
};

// 128 random bits, made by the node that took the request.
struct RequestId {
  uint64_t high = 0, low = 0;
  auto operator<=>(const RequestId&) const = default;
  std::string hex() const;  // 32 lower-case digits
};

// A generation of one instance's plan. A higher counter wins; the proposer breaks ties.
struct Epoch {
  uint64_t counter = 0;
  NodeId proposer;
  auto operator<=>(const Epoch&) const = default;
};

}  // namespace exo

template <typename Tag, typename Integer>
struct std::hash<exo::StrongInt<Tag, Integer>> {
  size_t operator()(exo::StrongInt<Tag, Integer> id) const noexcept { return std::hash<Integer>()(id.value); }
};
template <>
struct std::hash<exo::NodeId> {
  size_t operator()(const exo::NodeId& id) const noexcept {
    size_t h;
    std::memcpy(&h, id.bytes.data(), sizeof h);
    return h;
  }
};
template <>
struct std::hash<exo::RequestId> {
  size_t operator()(const exo::RequestId& id) const noexcept { return id.high ^ (id.low * 0x9E3779B97F4A7C15ull); }
};
template <typename Tag, typename Integer>
struct fmt::formatter<exo::StrongInt<Tag, Integer>> : fmt::formatter<Integer> {
  template <typename Context>
  auto format(exo::StrongInt<Tag, Integer> id, Context& context) const {
    return fmt::formatter<Integer>::format(id.value, context);
  }
};
