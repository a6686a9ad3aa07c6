#include "sample/select_best.h"

#include <algorithm>
#include <cmath>

#include "sample/logit_scan.h"

namespace exo::sample {
namespace {

// Up to here a heap of the best is cheaper than partitioning a copy of all.
constexpr size_t kHeapMost = 1024;

bool better(const Candidate& a, const Candidate& b) { return a.logit != b.logit ? a.logit > b.logit : a.id < b.id; }

Candidate candidate_at(std::span<const float> logits, size_t i) {
  return {std::min(logits[i], kLargestLogit), static_cast<int32_t>(i)};
}

// A heap with the worst of the best on top, which few logits get past. Since ids rise, a later equal never
// displaces an earlier one.
void select_by_heap(std::span<const float> logits, size_t count, std::vector<Candidate>& best) {
  size_t i = 0;
  for (; i < logits.size() && best.size() < count; ++i)
    if (!std::isnan(logits[i])) best.push_back(candidate_at(logits, i));
  std::make_heap(best.begin(), best.end(), better);
  if (best.empty()) return;
  for (i = find_above(logits, i, best.front().logit); i < logits.size();
       i = find_above(logits, i + 1, best.front().logit)) {
    const Candidate candidate = candidate_at(logits, i);
    if (!(candidate.logit > best.front().logit)) return;  // +inf counts as the largest, which all of them are
    std::pop_heap(best.begin(), best.end(), better);
    best.back() = candidate;
    std::push_heap(best.begin(), best.end(), better);
  }
}

void select_by_partition(std::span<const float> logits, size_t count, std::vector<Candidate>& best) {
  best.reserve(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    if (!std::isnan(logits[i])) best.push_back(candidate_at(logits, i));
  if (count >= best.size()) return;
  std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(count), best.end(), better);
  best.resize(count);
}

}  // namespace

void select_best(std::span<const float> logits, size_t count, std::vector<Candidate>& best) {
  best.clear();
  count = std::min(count, logits.size());
  if (count == 0) return;
  if (count <= kHeapMost)
    select_by_heap(logits, count, best);
  else
    select_by_partition(logits, count, best);
  std::sort(best.begin(), best.end(), better);
}

}  // namespace exo::sample
