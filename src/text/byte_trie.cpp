#include "text/byte_trie.h"

#include <algorithm>

namespace exo::text {

// Level by level over the sorted keys: a node is a range of keys with a common prefix.
ByteTrie::ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries) {
  root_.fill(-1);
  std::erase_if(entries, [](const auto& entry) { return entry.first.empty(); });
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  struct Range {
    size_t begin, end, depth;
    int32_t parent;
  };
  std::vector<Range> queue{{0, entries.size(), 0, -1}};
  for (size_t head = 0; head < queue.size(); ++head) {
    const Range range = queue[head];
    size_t i = range.begin;
    while (i < range.end && entries[i].first.size() == range.depth) ++i;  // keys that end at this node
    if (range.parent >= 0) nodes_[range.parent].first_child = static_cast<int32_t>(nodes_.size());
    while (i < range.end) {
      const auto label = static_cast<uint8_t>(entries[i].first[range.depth]);
      size_t end = i;
      while (end < range.end && static_cast<uint8_t>(entries[end].first[range.depth]) == label) ++end;
      const auto node = static_cast<int32_t>(nodes_.size());
      const bool ends_here = entries[i].first.size() == range.depth + 1;
      nodes_.push_back({0, ends_here ? entries[i].second : -1, 0, label});
      if (range.parent >= 0)
        ++nodes_[range.parent].children;
      else
        root_[label] = node;
      queue.push_back({i, end, range.depth + 1, node});
      i = end;
    }
  }
}

int32_t ByteTrie::child(int32_t node, uint8_t label) const {
  const Node& parent = nodes_[node];
  int32_t low = parent.first_child, high = parent.first_child + parent.children;
  while (low < high) {
    const int32_t middle = (low + high) / 2;
    if (nodes_[middle].label < label)
      low = middle + 1;
    else
      high = middle;
  }
  return low < parent.first_child + parent.children && nodes_[low].label == label ? low : -1;
}

std::optional<ByteTrie::Match> ByteTrie::longest_prefix(std::string_view text) const {
  std::optional<Match> longest;
  prefixes(text, [&](int32_t value, size_t bytes) { longest = Match{value, bytes}; });
  return longest;
}

}  // namespace exo::text
