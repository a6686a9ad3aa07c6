// What the instruction sets of 64-bit Arm share: everything but the dot product. Included by their files.
#include <arm_neon.h>

#include <cstring>

#include "kernels/int8_multiply-inl.h"
#include "kernels/int8_target-inl.h"

namespace exo::kernels {
namespace {

struct NeonVectors {
  using I = int32x4_t;
  using F = float32x4_t;
  static constexpr bool kUnsigned = false;
  static constexpr int kLanes = 4, kColumns = 4, kFewColumns = 4, kPanels = 1;
  static constexpr int kMostStraight = 4, kApartColumns = 2;
  EXO_INLINE static I zero() { return vdupq_n_s32(0); }
  EXO_INLINE static I broadcast(int32_t v) { return vdupq_n_s32(v); }
  EXO_INLINE static I bytes(int v) { return vreinterpretq_s32_s8(vdupq_n_s8(static_cast<int8_t>(v))); }
  EXO_INLINE static I load(const uint8_t* p) { return vreinterpretq_s32_u8(vld1q_u8(p)); }
  EXO_INLINE static void store_bytes(uint8_t* p, I v) { vst1q_u8(p, vreinterpretq_u8_s32(v)); }
  EXO_INLINE static F to_float(I v) { return vcvtq_f32_s32(v); }
  EXO_INLINE static F load_f(const float* p) { return vld1q_f32(p); }
  EXO_INLINE static void store_f(float* p, F v) { vst1q_f32(p, v); }
  EXO_INLINE static F broadcast_f(float v) { return vdupq_n_f32(v); }
  EXO_INLINE static F mul(F a, F b) { return vmulq_f32(a, b); }
  EXO_INLINE static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  EXO_INLINE static F fnma(F a, F b, F c) { return vfmsq_f32(c, a, b); }
  EXO_INLINE static F from_bits(I v) { return vreinterpretq_f32_s32(v); }
  EXO_INLINE static F negate(F v) { return vnegq_f32(v); }

  EXO_INLINE static int8x16_t as_bytes(I v) { return vreinterpretq_s8_s32(v); }
  EXO_INLINE static I and_(I a, I b) { return vandq_s32(a, b); }
  EXO_INLINE static I or_(I a, I b) { return vorrq_s32(a, b); }
  EXO_INLINE static I xor_(I a, I b) { return veorq_s32(a, b); }
  EXO_INLINE static I add(I a, I b) { return vaddq_s32(a, b); }
  EXO_INLINE static I add_bytes(I a, I b) { return vreinterpretq_s32_s8(vaddq_s8(as_bytes(a), as_bytes(b))); }
  EXO_INLINE static I min_bytes(I a, I b) {
    return vreinterpretq_s32_u8(vminq_u8(vreinterpretq_u8_s32(a), vreinterpretq_u8_s32(b)));
  }
  EXO_INLINE static I low_halves(I a, I b) { return narrow(vzip1q_s64(wide(a), wide(b))); }
  EXO_INLINE static I high_halves(I a, I b) { return narrow(vzip2q_s64(wide(a), wide(b))); }
  // Shifts by a variable: by a negative number is to the right.
  EXO_INLINE static I srl(I v, int n) {
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-n)));
  }
  EXO_INLINE static I sll(I v, int n) { return vshlq_s32(v, vdupq_n_s32(n)); }
  EXO_INLINE static I sra(I v, int n) { return vshlq_s32(v, vdupq_n_s32(-n)); }
  EXO_INLINE static I lookup(I table, I codes) {
    return vreinterpretq_s32_s8(vqtbl1q_s8(as_bytes(table), vreinterpretq_u8_s32(codes)));
  }
  EXO_INLINE static I broadcast16(const void* p) {
    return vreinterpretq_s32_u8(vld1q_u8(static_cast<const uint8_t*>(p)));
  }
  EXO_INLINE static I rows16(const PanelRows& rows, int set, int j, int64_t offset) {
    return broadcast16(rows.row(set * kLanes + j) + offset);
  }
  template <typename T>
  EXO_INLINE static I fields(const PanelRows& rows, int set, int64_t offset) {
    uint32_t values[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      T value;
      std::memcpy(&value, rows.row(set * kLanes + r) + offset, sizeof value);
      values[r] = value;
    }
    return vreinterpretq_s32_u32(vld1q_u32(values));
  }
  EXO_INLINE static I fields8(const PanelRows& rows, int set, int64_t at) { return fields<uint8_t>(rows, set, at); }
  EXO_INLINE static I fields16(const PanelRows& rows, int set, int64_t at) {
    return fields<uint16_t>(rows, set, at);
  }
  EXO_INLINE static I fields32(const PanelRows& rows, int set, int64_t at) {
    return fields<uint32_t>(rows, set, at);
  }
  EXO_INLINE static F half_to_float(I v) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vmovn_u32(vreinterpretq_u32_s32(v))));
  }
  EXO_INLINE static void transpose(I* w) {
    const I low01 = vzip1q_s32(w[0], w[1]), low23 = vzip1q_s32(w[2], w[3]);
    const I high01 = vzip2q_s32(w[0], w[1]), high23 = vzip2q_s32(w[2], w[3]);
    w[0] = narrow(vzip1q_s64(wide(low01), wide(low23)));
    w[1] = narrow(vzip2q_s64(wide(low01), wide(low23)));
    w[2] = narrow(vzip1q_s64(wide(high01), wide(high23)));
    w[3] = narrow(vzip2q_s64(wide(high01), wide(high23)));
  }
  EXO_INLINE static void words16(const PanelRows& rows, int set, int64_t offset, I* w) {
    for (int j = 0; j < 4; ++j) w[j] = rows16(rows, set, j, offset);
    transpose(w);
  }
  EXO_INLINE static void words32(const PanelRows& rows, int set, int64_t offset, I* w) {
    words16(rows, set, offset, w);
    words16(rows, set, offset + 16, w + 4);
  }
  EXO_INLINE static I row_sums(const I* a) { return vpaddq_s32(vpaddq_s32(a[0], a[1]), vpaddq_s32(a[2], a[3])); }
  template <int64_t kBlock>
  EXO_INLINE static bool halves_of_8_blocks(const PanelRows&, int, int64_t, F*) {
    return false;
  }
  template <int64_t kBlock>
  EXO_INLINE static bool words_of_8_blocks(const PanelRows&, int, int64_t, I*) {
    return false;
  }
  template <int64_t kBlock>
  EXO_INLINE static bool dwords_of_8_blocks(const PanelRows&, int, int64_t, I*) {
    return false;
  }

 private:
  EXO_INLINE static int64x2_t wide(I v) { return vreinterpretq_s64_s32(v); }
  EXO_INLINE static I narrow(int64x2_t v) { return vreinterpretq_s32_s64(v); }
};

}  // namespace
}  // namespace exo::kernels
