// Vector helpers of the Highway sources, once per target. Included inside HWY_BEFORE_NAMESPACE.
#if defined(EXO_KERNELS_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EXO_KERNELS_MATH_INL_H_
#undef EXO_KERNELS_MATH_INL_H_
#else
#define EXO_KERNELS_MATH_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D d;
using D32 = hn::RebindToUnsigned<D>;
using V32 = hn::Vec<D32>;
constexpr D32 d32;
constexpr int64_t kLanes = HWY_LANES(float);  // all targets in use have vectors of a fixed size
// Highway's own conversion of F16 where the processor has none turns infinities into 65536.
constexpr bool kNativeHalf = HWY_TARGET <= HWY_AVX2 || HWY_TARGET == HWY_NEON;

// e^x, relative error below 2e-7 for x in [-87.3, 88.3]; outside, the value at the nearer end.
// Range reduction by multiples of ln 2 in two parts, polynomial of degree 6 (Moshier's expf coefficients).
HWY_INLINE V exp(V x) {
  x = hn::Min(hn::Max(x, hn::Set(d, -87.3f)), hn::Set(d, 88.3f));
  const hn::RebindToSigned<D> di;
  const auto k = hn::NearestInt(hn::Mul(x, hn::Set(d, 1.44269504f)));
  const V kf = hn::ConvertTo(d, k);
  const V r = hn::NegMulAdd(kf, hn::Set(d, -2.12194440e-4f), hn::NegMulAdd(kf, hn::Set(d, 0.693359375f), x));
  V p = hn::Set(d, 1.9875691500e-4f);
  p = hn::MulAdd(p, r, hn::Set(d, 1.3981999507e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 8.3334519073e-3f));
  p = hn::MulAdd(p, r, hn::Set(d, 4.1665795894e-2f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.6666665459e-1f));
  p = hn::MulAdd(p, r, hn::Set(d, 5.0000001201e-1f));
  p = hn::Add(hn::MulAdd(p, hn::Mul(r, r), r), hn::Set(d, 1.0f));
  const V power = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(k, hn::Set(di, 127))));
  return hn::Mul(p, power);
}

// Absolute error below 2e-7; relative error too near 0.
HWY_INLINE V tanh(V x) {
  const V one = hn::Set(d, 1.0f);
  const V a = hn::Min(hn::Abs(x), hn::Set(d, 10.0f));
  const V large = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(exp(hn::Add(a, a)), one)));
  const V square = hn::Mul(a, a);
  V p = hn::Set(d, -17.0f / 315.0f);
  p = hn::MulAdd(p, square, hn::Set(d, 2.0f / 15.0f));
  p = hn::MulAdd(p, square, hn::Set(d, -1.0f / 3.0f));
  const V small = hn::MulAdd(hn::Mul(p, square), a, a);
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.15f)), small, large), x);
}

// Abramowitz and Stegun 7.1.26: absolute error below 3e-7.
HWY_INLINE V erf(V x) {
  const V a = hn::Abs(x), one = hn::Set(d, 1.0f);
  const V t = hn::Div(one, hn::MulAdd(hn::Set(d, 0.3275911f), a, one));
  V p = hn::Set(d, 1.061405429f);
  p = hn::MulAdd(p, t, hn::Set(d, -1.453152027f));
  p = hn::MulAdd(p, t, hn::Set(d, 1.421413741f));
  p = hn::MulAdd(p, t, hn::Set(d, -0.284496736f));
  p = hn::MulAdd(p, t, hn::Set(d, 0.254829592f));
  const V y = hn::NegMulAdd(hn::Mul(p, t), exp(hn::Neg(hn::Mul(a, a))), one);
  return hn::CopySign(y, x);
}

#if HWY_TARGET == HWY_AVX2
HWY_INLINE __m256i lower_then_upper_halves(__m256i words) {
  const __m256i order =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15));
  return _mm256_permute4x64_epi64(_mm256_shuffle_epi8(words, order), 0xd8);
}
#endif

// Half-precision bits in the low half of each lane → f32, infinities and subnormals included.
HWY_INLINE V half_to_float(V32 h) {
#if HWY_TARGET == HWY_AVX3
  return V{_mm512_cvtph_ps(_mm512_cvtepi32_epi16(h.raw))};
#elif HWY_TARGET == HWY_AVX2
  return V{_mm256_cvtph_ps(_mm256_castsi256_si128(lower_then_upper_halves(h.raw)))};
#else
  const V32 magnitude = hn::And(h, hn::Set(d32, 0x7fff));
  const V32 shifted = hn::ShiftLeft<13>(magnitude);
  const V32 finite = hn::BitCast(d32, hn::Mul(hn::BitCast(d, shifted), hn::Set(d, 0x1p112f)));
  const V32 special = hn::Or(shifted, hn::Set(d32, 0x7f800000));
  const V32 value = hn::IfThenElse(hn::Gt(magnitude, hn::Set(d32, 0x7bff)), special, finite);
  return hn::BitCast(d, hn::Or(value, hn::ShiftLeft<16>(hn::And(h, hn::Set(d32, 0x8000)))));
#endif
}

// The half-precision numbers in the lower and in the upper halves of lanes → f32.
HWY_INLINE void both_halves_to_float(V32 words, V& lower, V& upper) {
#if HWY_TARGET == HWY_AVX3
  alignas(64) static constexpr int16_t kOrder[32] = {0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30,
                                                     1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};
  const __m512i halves = _mm512_permutexvar_epi16(_mm512_load_si512(kOrder), words.raw);
  lower = V{_mm512_cvtph_ps(_mm512_castsi512_si256(halves))};
  upper = V{_mm512_cvtph_ps(_mm512_extracti64x4_epi64(halves, 1))};
#elif HWY_TARGET == HWY_AVX2
  const __m256i halves = lower_then_upper_halves(words.raw);
  lower = V{_mm256_cvtph_ps(_mm256_castsi256_si128(halves))};
  upper = V{_mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1))};
#else
  lower = half_to_float(hn::And(words, hn::Set(d32, 0xffff)));
  upper = half_to_float(hn::ShiftRight<16>(words));
#endif
}

// Up to one vector from memory that ends after `count` floats; the rest is zero.
HWY_INLINE V load_part(const float* from, int64_t count) {
  HWY_ALIGN float buffer[kLanes] = {};
  std::memcpy(buffer, from, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(d, buffer);
}

HWY_INLINE void store_part(V v, float* to, int64_t count) {
  HWY_ALIGN float buffer[kLanes];
  hn::Store(v, d, buffer);
  std::memcpy(to, buffer, static_cast<size_t>(count) * sizeof(float));
}

HWY_INLINE float sum(V v) { return hn::GetLane(hn::SumOfLanes(d, v)); }

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();
#endif
