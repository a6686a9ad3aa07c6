// Conversions between F32, F16, BF16 and Q8_0.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_conversions.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/blocks.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

constexpr hn::Rebind<hwy::float16_t, D> df16;
constexpr hn::Rebind<hwy::bfloat16_t, D> dbf16;
constexpr hn::Rebind<uint16_t, D> du16;

HWY_INLINE V load(const float* p) { return hn::LoadU(d, p); }
HWY_INLINE V load(const hwy::float16_t* p) {
  if constexpr (kNativeHalf) return hn::PromoteTo(d, hn::LoadU(df16, p));
  return half_to_float(hn::PromoteTo(d32, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p))));
}
HWY_INLINE V load(const hwy::bfloat16_t* p) {
  const auto half = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p));
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(d32, half)));
}

template <typename T>
HWY_INLINE V load_tail(const T* p, int64_t count) {
  HWY_ALIGN T buffer[kLanes] = {};
  std::memcpy(static_cast<void*>(buffer), static_cast<const void*>(p), static_cast<size_t>(count) * sizeof(T));
  return load(buffer);
}

template <typename T>
HWY_INLINE void widen_row(const T* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(load(from + i), d, to + i);
  if (i < n) store_part(load_tail(from + i, n - i), to + i, n - i);
}

void widen_q8(const BlockQ8_0* blocks, float* to, int64_t n) {
  const hn::Rebind<int8_t, D> d8;
  const hn::RebindToSigned<D> di;
  for (int64_t b = 0; b < n / kGroup; ++b) {
    const V scale = hn::Set(d, f16_to_f32(blocks[b].d));
    for (int64_t i = 0; i < kGroup; i += kLanes) {
      const auto q = hn::PromoteTo(di, hn::LoadU(d8, blocks[b].q + i));
      hn::StoreU(hn::Mul(scale, hn::ConvertTo(d, q)), d, to + b * kGroup + i);
    }
  }
}

void widen(ElementType type, const std::byte* from, float* to, int64_t n) {
  switch (type) {
    case ElementType::kF16:
      return widen_row(reinterpret_cast<const hwy::float16_t*>(from), to, n);
    case ElementType::kBF16:
      return widen_row(reinterpret_cast<const hwy::bfloat16_t*>(from), to, n);
    case ElementType::kQ8_0:
      return widen_q8(reinterpret_cast<const BlockQ8_0*>(from), to, n);
    default:
      std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
  }
}

void narrow_f16(const float* from, uint16_t* to, int64_t n) {
  int64_t i = 0;
  for (; kNativeHalf && i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::DemoteTo(df16, hn::LoadU(d, from + i)), df16, reinterpret_cast<hwy::float16_t*>(to + i));
  }
  for (; i < n; ++i) to[i] = f32_to_f16(from[i]);
}

void fill_conversions(KernelTable& table) {
  table.widen = widen;
  table.narrow_f16 = narrow_f16;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_float_conversions(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_conversions(table))
  return false;
}
}  // namespace exo::kernels
#endif
