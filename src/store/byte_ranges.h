#pragma once
// Sets of byte positions as sorted, disjoint, half-open ranges.

#include <cstdint>
#include <span>
#include <vector>

namespace exo::store {

struct ByteRange {
  uint64_t begin = 0, end = 0;
  uint64_t size() const { return end - begin; }
  bool operator==(const ByteRange&) const = default;
};

class RangeSet {
 public:
  RangeSet() = default;
  explicit RangeSet(std::span<const ByteRange> ranges) {
    for (const ByteRange& r : ranges) add(r);
  }
  void add(ByteRange range);  // empty ranges are ignored; touching ones merge
  bool contains(ByteRange range) const;
  RangeSet without(const RangeSet& other) const;
  // With the gaps of at most `most` bytes between them.
  RangeSet joined(uint64_t most) const;
  uint64_t total_bytes() const;
  std::span<const ByteRange> ranges() const& { return ranges_; }
  std::span<const ByteRange> ranges() const&& = delete;  // would dangle
  bool operator==(const RangeSet&) const = default;

 private:
  std::vector<ByteRange> ranges_;
};

}  // namespace exo::store
