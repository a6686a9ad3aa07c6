#pragma once
// A set of byte strings for "which of them starts here": added tokens in a text, pieces of a unigram vocabulary.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace exo::text {

class ByteTrie {
 public:
  ByteTrie() { root_.fill(-1); }
  // Empty keys are left out; of equal keys the first counts.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  struct Match {
    int32_t value;
    size_t bytes;
  };
  // The longest key that `text` starts with.
  std::optional<Match> longest_prefix(std::string_view text) const;
  // Every key that `text` starts with, shortest first: visit(value, bytes).
  template <typename Visit>
  void prefixes(std::string_view text, const Visit& visit) const {
    int32_t node = -1;
    for (size_t i = 0; i < text.size(); ++i) {
      node = i == 0 ? root_[static_cast<uint8_t>(text[0])] : child(node, static_cast<uint8_t>(text[i]));
      if (node < 0) return;
      if (nodes_[node].value >= 0) visit(nodes_[node].value, i + 1);
    }
  }
  bool can_start(char byte) const { return root_[static_cast<uint8_t>(byte)] >= 0; }
  bool empty() const { return nodes_.empty(); }

 private:
  // Children of a node are neighbours in nodes_, ordered by label.
  struct Node {
    int32_t first_child = 0;
    int32_t value = -1;
    uint16_t children = 0;
    uint8_t label = 0;
  };
  int32_t child(int32_t node, uint8_t label) const;

  std::array<int32_t, 256> root_;
  std::vector<Node> nodes_;
};

}  // namespace exo::text
