#include "text/unicode_normalization.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <vector>

#include "text/utf8.h"

namespace exo::text {
namespace {

struct Decomposition {
  uint32_t code, first, second;
  bool composes;  // the pair composes back; not so for singletons and exclusions
};
struct CombiningRange {
  uint32_t first, last;
  uint8_t combining_class;
};
struct Compatibility {
  uint32_t code;
  uint16_t offset, count;  // in kCompatibilityText
};
#include "text/normalization_tables.inc"

struct LowerRun {
  uint32_t first, last, step;  // every step-th code point of the run
  int32_t distance;
};
#include "text/lower_case_tables.inc"

enum class Form { kCanonical, kCompatible };

constexpr uint32_t kHangulFirst = 0xAC00, kHangulCount = 11172, kLeadFirst = 0x1100, kVowelFirst = 0x1161,
                   kTailFirst = 0x11A7, kLeads = 19, kVowels = 21, kTails = 28;

uint8_t combining_class(uint32_t code) {
  if (code < 0x300) return 0;
  const auto* range = std::upper_bound(std::begin(kCombining), std::end(kCombining), code,
                                       [](uint32_t c, const CombiningRange& r) { return c < r.first; });
  if (range == std::begin(kCombining)) return 0;
  --range;
  return code <= range->last ? range->combining_class : 0;
}

const Decomposition* find_decomposition(uint32_t code) {
  const auto* found = std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), code,
                                       [](const Decomposition& d, uint32_t c) { return d.code < c; });
  return found != std::end(kDecompositions) && found->code == code ? found : nullptr;
}

const Compatibility* find_compatibility(uint32_t code) {
  const auto* found = std::lower_bound(std::begin(kCompatibility), std::end(kCompatibility), code,
                                       [](const Compatibility& c, uint32_t value) { return c.code < value; });
  return found != std::end(kCompatibility) && found->code == code ? found : nullptr;
}

void decompose(uint32_t code, Form form, std::vector<uint32_t>& out) {
  if (code >= kHangulFirst && code < kHangulFirst + kHangulCount) {
    const uint32_t index = code - kHangulFirst;
    out.push_back(kLeadFirst + index / (kVowels * kTails));
    out.push_back(kVowelFirst + index % (kVowels * kTails) / kTails);
    if (index % kTails) out.push_back(kTailFirst + index % kTails);
    return;
  }
  if (code < 0xA0) {
    out.push_back(code);
    return;
  }
  if (const Decomposition* found = find_decomposition(code)) {
    decompose(found->first, form, out);
    if (found->second) decompose(found->second, form, out);
    return;
  }
  const Compatibility* other = form == Form::kCompatible ? find_compatibility(code) : nullptr;
  if (!other) {
    out.push_back(code);
    return;
  }
  for (uint16_t i = 0; i < other->count; ++i) decompose(kCompatibilityText[other->offset + i], form, out);
}

std::vector<uint32_t> decompose_and_order(std::string_view text, Form form) {
  std::vector<uint32_t> codes;
  codes.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    decompose(step.code_point, form, codes);
    text.remove_prefix(step.bytes);
  }
  for (size_t i = 0; i < codes.size(); ++i) {
    if (combining_class(codes[i]) == 0) continue;
    size_t end = i;
    while (end < codes.size() && combining_class(codes[end]) != 0) ++end;
    std::stable_sort(codes.begin() + static_cast<std::ptrdiff_t>(i),
                     codes.begin() + static_cast<std::ptrdiff_t>(end),
                     [](uint32_t a, uint32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
  return codes;
}

// The pairs that compose, by their parts.
const std::vector<const Decomposition*>& compositions() {
  static const auto sorted = [] {
    std::vector<const Decomposition*> pairs;
    for (const Decomposition& d : kDecompositions)
      if (d.composes) pairs.push_back(&d);
    std::sort(pairs.begin(), pairs.end(), [](const auto* a, const auto* b) {
      return a->first != b->first ? a->first < b->first : a->second < b->second;
    });
    return pairs;
  }();
  return sorted;
}

uint32_t compose(uint32_t first, uint32_t second) {
  if (first >= kLeadFirst && first < kLeadFirst + kLeads && second >= kVowelFirst && second < kVowelFirst + kVowels)
    return kHangulFirst + ((first - kLeadFirst) * kVowels + (second - kVowelFirst)) * kTails;
  if (first >= kHangulFirst && first < kHangulFirst + kHangulCount && (first - kHangulFirst) % kTails == 0 &&
      second > kTailFirst && second < kTailFirst + kTails)
    return first + (second - kTailFirst);
  const auto& pairs = compositions();
  const auto found = std::lower_bound(
      pairs.begin(), pairs.end(), std::pair(first, second),
      [](const auto* d, auto p) { return d->first != p.first ? d->first < p.first : d->second < p.second; });
  return found != pairs.end() && (*found)->first == first && (*found)->second == second ? (*found)->code : 0;
}

std::string encode(const std::vector<uint32_t>& codes) {
  std::string text;
  text.reserve(codes.size() * 2);
  for (const uint32_t code : codes) append_utf8(text, code);
  return text;
}

std::vector<uint32_t> compose_all(const std::vector<uint32_t>& codes) {
  std::vector<uint32_t> out;
  out.reserve(codes.size());
  constexpr size_t kNone = static_cast<size_t>(-1);
  size_t starter = kNone;
  uint8_t last_class = 0;
  for (const uint32_t code : codes) {
    const uint8_t current = combining_class(code);
    // Blocked when something of the same or a higher class stands between the starter and this.
    const bool adjacent = starter != kNone && starter + 1 == out.size();
    if (starter != kNone && (adjacent || (last_class < current && last_class != 0))) {
      if (const uint32_t composed = compose(out[starter], code)) {
        out[starter] = composed;
        continue;
      }
    }
    if (current == 0) starter = out.size();
    last_class = current;
    out.push_back(code);
  }
  return out;
}

}  // namespace

bool is_surely_nfc(std::string_view text) {
  // U+0300 is CC 80.
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<uint8_t>(c) < 0xCC; });
}

std::string to_nfd(std::string_view text) { return encode(decompose_and_order(text, Form::kCanonical)); }

std::string to_nfkd(std::string_view text) { return encode(decompose_and_order(text, Form::kCompatible)); }

std::string to_nfc(std::string_view text) {
  if (is_surely_nfc(text)) return std::string(text);
  return encode(compose_all(decompose_and_order(text, Form::kCanonical)));
}

std::string to_nfkc(std::string_view text) {
  return encode(compose_all(decompose_and_order(text, Form::kCompatible)));
}

uint32_t base_of(uint32_t code) {
  if (code < 0xC0) return code;
  std::vector<uint32_t> parts;
  decompose(code, Form::kCanonical, parts);
  return parts.front();
}

uint32_t to_lower(uint32_t code) {
  const auto* after = std::upper_bound(std::begin(kLowerRuns), std::end(kLowerRuns), code,
                                       [](uint32_t c, const LowerRun& run) { return c < run.first; });
  if (after == std::begin(kLowerRuns)) return code;
  const LowerRun& run = *std::prev(after);
  if (code > run.last || (code - run.first) % run.step != 0) return code;
  return static_cast<uint32_t>(static_cast<int32_t>(code) + run.distance);
}

std::string to_lower(std::string_view text) {
  constexpr uint32_t kDottedCapitalI = 0x130, kDotAbove = 0x307;
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = decode_utf8(text);
    text.remove_prefix(step.bytes);
    append_utf8(out, step.code_point == kDottedCapitalI ? 'i' : to_lower(step.code_point));
    if (step.code_point == kDottedCapitalI) append_utf8(out, kDotAbove);
  }
  return out;
}

}  // namespace exo::text
