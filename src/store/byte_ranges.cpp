#include "store/byte_ranges.h"

#include <algorithm>

namespace exo::store {

void RangeSet::add(ByteRange range) {
  if (range.begin >= range.end) return;
  const auto first = std::lower_bound(ranges_.begin(), ranges_.end(), range.begin,
                                      [](const ByteRange& r, uint64_t begin) { return r.end < begin; });
  auto last = first;
  for (; last != ranges_.end() && last->begin <= range.end; ++last) {
    range.begin = std::min(range.begin, last->begin);
    range.end = std::max(range.end, last->end);
  }
  ranges_.insert(ranges_.erase(first, last), range);
}

bool RangeSet::contains(ByteRange range) const {
  if (range.begin >= range.end) return true;
  const auto candidate = std::upper_bound(ranges_.begin(), ranges_.end(), range.begin,
                                          [](uint64_t begin, const ByteRange& r) { return begin < r.end; });
  return candidate != ranges_.end() && candidate->begin <= range.begin && range.end <= candidate->end;
}

RangeSet RangeSet::without(const RangeSet& other) const {
  RangeSet rest;
  auto hole = other.ranges_.begin();
  for (ByteRange range : ranges_) {
    while (hole != other.ranges_.end() && hole->end <= range.begin) ++hole;
    for (auto h = hole; h != other.ranges_.end() && h->begin < range.end && range.begin < range.end; ++h) {
      rest.add({range.begin, std::max(range.begin, h->begin)});
      range.begin = std::max(range.begin, h->end);
    }
    rest.add(range);
  }
  return rest;
}

RangeSet RangeSet::joined(uint64_t most) const {
  RangeSet out;
  for (const ByteRange& range : ranges_) {
    if (!out.ranges_.empty() && range.begin - out.ranges_.back().end <= most) {
      out.ranges_.back().end = range.end;
    } else {
      out.ranges_.push_back(range);
    }
  }
  return out;
}

uint64_t RangeSet::total_bytes() const {
  uint64_t total = 0;
  for (const ByteRange& r : ranges_) total += r.size();
  return total;
}

}  // namespace exo::store
