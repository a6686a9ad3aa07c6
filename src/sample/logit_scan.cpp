#include "sample/logit_scan.h"

// Highway 1.0.3 compiles AVX3_DL with instructions that processors it selects it for may lack; vectors of SVE have
// no size at compile time.
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "sample/logit_scan.cpp"
#include <algorithm>
#include <cmath>
#include <limits>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "sample/portable_exp.h"
#include "sample/select_best.h"

HWY_BEFORE_NAMESPACE();
namespace exo::sample {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Numbers at once, in so many vectors as it takes.
constexpr size_t kStep = 16, kSums = 8;

using Floats = hn::CappedTag<float, kStep>;
using Doubles = hn::CappedTag<double, kSums>;
constexpr Floats floats;
constexpr Doubles doubles;
constexpr hn::RebindToUnsigned<Doubles> words;
constexpr hn::Rebind<float, Doubles> halves;
using FloatVector = hn::Vec<Floats>;
using DoubleVector = hn::Vec<Doubles>;

float vector_max(const float* logits, size_t n) {
  const FloatVector lowest = hn::Set(floats, kLowestLogit);
  FloatVector most[2] = {lowest, lowest};
  const auto greater = [](FloatVector a, FloatVector b) HWY_ATTR { return hn::IfThenElse(hn::Gt(a, b), a, b); };
  const size_t lanes = hn::Lanes(floats);
  size_t i = 0;
  for (; i + 2 * lanes <= n; i += 2 * lanes) {
    most[0] = greater(hn::LoadU(floats, logits + i), most[0]);
    most[1] = greater(hn::LoadU(floats, logits + i + lanes), most[1]);
  }
  HWY_ALIGN float each[kStep];
  hn::Store(greater(most[0], most[1]), floats, each);
  float result = *std::max_element(each, each + lanes);
  for (; i < n; ++i) result = logits[i] > result ? logits[i] : result;
  return result;
}

// The first index from `begin` of which matches(vector of logits) is true.
template <typename Matches>
HWY_INLINE size_t find(const float* logits, size_t n, size_t begin, Matches matches) {
  const size_t lanes = hn::Lanes(floats);
  size_t i = begin;
  for (; i + lanes <= n; i += lanes) {
    const intptr_t found = hn::FindFirstTrue(floats, matches(hn::LoadU(floats, logits + i)));
    if (found >= 0) return i + static_cast<size_t>(found);
  }
  HWY_ALIGN float rest[kStep];
  std::fill(std::copy(logits + i, logits + n, rest), rest + lanes, std::numeric_limits<float>::quiet_NaN());
  const intptr_t found = hn::FindFirstTrue(floats, matches(hn::Load(floats, rest)));
  return found >= 0 ? i + static_cast<size_t>(found) : n;
}

size_t vector_find_above(const float* logits, size_t n, size_t begin, float bound) {
  const FloatVector limit = hn::Set(floats, bound);
  return find(logits, n, begin, [=](FloatVector v) HWY_ATTR { return hn::Gt(v, limit); });
}

size_t vector_find_equal(const float* logits, size_t n, size_t begin, float value) {
  const FloatVector wanted = hn::Set(floats, value);
  return find(logits, n, begin, [=](FloatVector v) HWY_ATTR { return hn::Eq(v, wanted); });
}

// portable_exp, step by step.
HWY_INLINE DoubleVector exp_of(DoubleVector x) {
  const DoubleVector lowest = hn::Set(doubles, kLowestExponent);
  const auto counts = hn::Gt(x, lowest);
  const DoubleVector clamped = hn::IfThenElse(counts, x, lowest);
  const DoubleVector round = hn::Set(doubles, kExpRound);
  const DoubleVector shifted = hn::Add(hn::Mul(clamped, hn::Set(doubles, kLog2e)), round);
  const DoubleVector n = hn::Sub(shifted, round);
  const DoubleVector r =
      hn::Sub(hn::Sub(clamped, hn::Mul(n, hn::Set(doubles, kLn2High))), hn::Mul(n, hn::Set(doubles, kLn2Low)));
  DoubleVector sum = hn::Set(doubles, kExpFirstTerm);
  for (const double term : kExpTerms) sum = hn::Add(hn::Mul(sum, r), hn::Set(doubles, term));
  const auto bits = hn::Add(hn::BitCast(words, shifted), hn::Set(words, uint64_t{kExpBias}));
  return hn::IfThenElseZero(counts, hn::Mul(sum, hn::BitCast(doubles, hn::ShiftLeft<kExpShift>(bits))));
}

HWY_INLINE DoubleVector terms_of(const float* logits, const ExpTerms& terms) {
  const auto raw = hn::LoadU(halves, logits);
  const auto most = hn::Set(halves, kLargestLogit);
  const DoubleVector logit = hn::PromoteTo(doubles, hn::IfThenElse(hn::Gt(raw, most), most, raw));
  const DoubleVector weight =
      exp_of(hn::Mul(hn::Sub(logit, hn::Set(doubles, terms.largest)), hn::Set(doubles, terms.scale)));
  return hn::IfThenElseZero(hn::Ge(logit, hn::Set(doubles, terms.least)), weight);
}

double vector_exp_sum(const float* logits, size_t n, const ExpTerms& terms) {
  const size_t lanes = hn::Lanes(doubles);
  HWY_ALIGN double sums[kSums] = {};
  float rest[kSums];
  for (size_t i = 0; i < n; i += kSums) {
    const float* source = logits + i;
    if (i + kSums > n) {
      std::fill(std::copy(source, logits + n, rest), rest + kSums, kLowestLogit);
      source = rest;
    }
    for (size_t k = 0; k < kSums; k += lanes)
      hn::Store(hn::Add(hn::Load(doubles, sums + k), terms_of(source + k, terms)), doubles, sums + k);
  }
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::sample
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace exo::sample {

int64_t logit_scan_targets() { return HWY_TARGETS; }

HWY_EXPORT(vector_max);
HWY_EXPORT(vector_find_above);
HWY_EXPORT(vector_find_equal);
HWY_EXPORT(vector_exp_sum);

float max_of(std::span<const float> logits) {
  return HWY_DYNAMIC_DISPATCH(vector_max)(logits.data(), logits.size());
}

size_t find_above(std::span<const float> logits, size_t begin, float bound) {
  return HWY_DYNAMIC_DISPATCH(vector_find_above)(logits.data(), logits.size(), begin, bound);
}

size_t find_equal(std::span<const float> logits, size_t begin, float value) {
  return HWY_DYNAMIC_DISPATCH(vector_find_equal)(logits.data(), logits.size(), begin, value);
}

double exp_sum(std::span<const float> logits, const ExpTerms& terms) {
  return HWY_DYNAMIC_DISPATCH(vector_exp_sum)(logits.data(), logits.size(), terms);
}

double exp_term(float logit, const ExpTerms& terms) {
  const double clamped = std::min(logit, kLargestLogit);
  const double term = portable_exp((clamped - terms.largest) * terms.scale);
  return clamped >= terms.least ? term : 0.0;
}

}  // namespace exo::sample
#endif  // HWY_ONCE
