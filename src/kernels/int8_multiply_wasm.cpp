// WebAssembly's 128-bit SIMD. It multiplies 16-bit integers by pairs, and has no fused multiply-add: that is made
// of doubles here, since results may not depend on the device (panel.h).

#include <wasm_simd128.h>

#include <cmath>
#include <cstring>

#include "kernels/int8_multiply-inl.h"
#include "kernels/int8_target-inl.h"

namespace exo::kernels {
namespace {

// The lanes one by one, rounded once.
__attribute__((noinline)) v128_t fma_exactly(v128_t a, v128_t b, v128_t c) {
  float x[4], y[4], z[4];
  wasm_v128_store(x, a), wasm_v128_store(y, b), wasm_v128_store(z, c);
  for (int i = 0; i < 4; ++i) z[i] = std::fma(x[i], y[i], z[i]);
  return wasm_v128_load(z);
}

inline v128_t add_pairs(v128_t low, v128_t high) {
  return wasm_i32x4_add(wasm_i32x4_shuffle(low, high, 0, 2, 4, 6), wasm_i32x4_shuffle(low, high, 1, 3, 5, 7));
}

inline v128_t upper(v128_t v) { return wasm_i64x2_shuffle(v, v, 1, 1); }

struct Floats {
  using F = v128_t;
  static constexpr bool kUnsigned = false;
  static constexpr int kLanes = 4, kColumns = 2, kFewColumns = 2, kPanels = 1;
  static constexpr int kMostStraight = 2, kApartColumns = 1;
  static F load_f(const float* p) { return wasm_v128_load(p); }
  static void store_f(float* p, F v) { wasm_v128_store(p, v); }
  static F broadcast_f(float v) { return wasm_f32x4_splat(v); }
  static F mul(F a, F b) { return wasm_f32x4_mul(a, b); }
  static F negate(F v) { return wasm_f32x4_neg(v); }
  static F from_bits(v128_t v) { return v; }

  // A product of two floats is exact as a double. The sum rounded to a double rounds to the same float as the exact
  // one, unless it comes to lie just between two floats.
  static F fma(F a, F b, F c) {
    const v128_t low = wasm_f64x2_add(wasm_f64x2_mul(promote(a), promote(b)), promote(c));
    const v128_t high = wasm_f64x2_add(wasm_f64x2_mul(promote(upper(a)), promote(upper(b))), promote(upper(c)));
    if (wasm_v128_any_true(wasm_v128_or(between_floats(low), between_floats(high)))) return fma_exactly(a, b, c);
    return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(low), wasm_f32x4_demote_f64x2_zero(high), 0, 2);
  }
  static F fnma(F a, F b, F c) { return fma(negate(a), b, c); }

 private:
  static v128_t promote(v128_t v) { return wasm_f64x2_promote_low_f32x4(v); }
  static v128_t between_floats(v128_t doubles) {
    const v128_t rest = wasm_v128_and(doubles, wasm_i64x2_const_splat(0x1fffffff));
    return wasm_i64x2_eq(rest, wasm_i64x2_const_splat(0x10000000));
  }
};

// 16 bytes as 16-bit integers; sums: two parts of each row, rows 0 and 1 in `low`.
struct Wide {
  v128_t low, high;
};

struct PanelVectors : Floats {
  using I = Wide;
  static I zero() { return {wasm_i32x4_const_splat(0), wasm_i32x4_const_splat(0)}; }
  static I load(const uint8_t* p) { return {wasm_i16x8_load8x8(p), wasm_i16x8_load8x8(p + 8)}; }
  static I broadcast(int32_t four) {
    const v128_t v = wasm_i16x8_extend_low_i8x16(wasm_i32x4_splat(four));
    return {v, v};
  }
  static I dot(I sum, I w, I x) {
    return {wasm_i32x4_add(sum.low, wasm_i32x4_dot_i16x8(w.low, x.low)),
            wasm_i32x4_add(sum.high, wasm_i32x4_dot_i16x8(w.high, x.high))};
  }
  static F to_float(I sum) { return wasm_f32x4_convert_i32x4(add_pairs(sum.low, sum.high)); }
};

struct RowVectors : Floats {
  using I = v128_t;
  static I zero() { return wasm_i32x4_const_splat(0); }
  static I broadcast(int32_t v) { return wasm_i32x4_splat(v); }
  static I bytes(int v) { return wasm_i8x16_splat(static_cast<int8_t>(v)); }
  static void store_bytes(uint8_t* p, I v) { wasm_v128_store(p, v); }
  static F to_float(I v) { return wasm_f32x4_convert_i32x4(v); }
  static I dot(I sum, I w, I x) {
    const I low = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(w), wasm_i16x8_extend_low_i8x16(x));
    const I high = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(w), wasm_i16x8_extend_high_i8x16(x));
    return wasm_i32x4_add(sum, add_pairs(low, high));
  }
  static I small_dot(I sum, I w, I x) { return dot(sum, w, x); }
  static I and_(I a, I b) { return wasm_v128_and(a, b); }
  static I or_(I a, I b) { return wasm_v128_or(a, b); }
  static I xor_(I a, I b) { return wasm_v128_xor(a, b); }
  static I add(I a, I b) { return wasm_i32x4_add(a, b); }
  static I add_bytes(I a, I b) { return wasm_i8x16_add(a, b); }
  static I min_bytes(I a, I b) { return wasm_u8x16_min(a, b); }
  static I low_halves(I a, I b) { return wasm_i64x2_shuffle(a, b, 0, 2); }
  static I high_halves(I a, I b) { return wasm_i64x2_shuffle(a, b, 1, 3); }
  static I srl(I v, int n) { return wasm_u32x4_shr(v, static_cast<uint32_t>(n)); }
  static I sll(I v, int n) { return wasm_i32x4_shl(v, static_cast<uint32_t>(n)); }
  static I sra(I v, int n) { return wasm_i32x4_shr(v, static_cast<uint32_t>(n)); }
  static I lookup(I table, I codes) { return wasm_i8x16_swizzle(table, codes); }
  static I broadcast16(const void* p) { return wasm_v128_load(p); }
  static I rows16(const PanelRows& rows, int set, int j, int64_t offset) {
    return wasm_v128_load(rows.row(set * kLanes + j) + offset);
  }
  template <typename T>
  static I fields(const PanelRows& rows, int set, int64_t offset) {
    uint32_t values[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      T value;
      std::memcpy(&value, rows.row(set * kLanes + r) + offset, sizeof value);
      values[r] = value;
    }
    return wasm_v128_load(values);
  }
  static I fields8(const PanelRows& rows, int set, int64_t at) { return fields<uint8_t>(rows, set, at); }
  static I fields16(const PanelRows& rows, int set, int64_t at) { return fields<uint16_t>(rows, set, at); }
  static I fields32(const PanelRows& rows, int set, int64_t at) { return fields<uint32_t>(rows, set, at); }
  // As f16_to_f32 of half.h.
  static F half_to_float(I v) {
    const I magnitude = and_(v, broadcast(0x7fff));
    const F finite = mul(sll(magnitude, 13), broadcast_f(0x1p112f));
    const I infinite = or_(sll(and_(magnitude, broadcast(0x3ff)), 13), broadcast(0x7f800000));
    const I is_infinite = wasm_i32x4_gt(magnitude, broadcast(0x7bff));
    return or_(wasm_v128_bitselect(infinite, finite, is_infinite), sll(and_(v, broadcast(0x8000)), 16));
  }
  static void transpose(I* w) {
    const I low01 = wasm_i32x4_shuffle(w[0], w[1], 0, 4, 1, 5), low23 = wasm_i32x4_shuffle(w[2], w[3], 0, 4, 1, 5);
    const I high01 = wasm_i32x4_shuffle(w[0], w[1], 2, 6, 3, 7),
            high23 = wasm_i32x4_shuffle(w[2], w[3], 2, 6, 3, 7);
    w[0] = wasm_i64x2_shuffle(low01, low23, 0, 2);
    w[1] = wasm_i64x2_shuffle(low01, low23, 1, 3);
    w[2] = wasm_i64x2_shuffle(high01, high23, 0, 2);
    w[3] = wasm_i64x2_shuffle(high01, high23, 1, 3);
  }
  static void words16(const PanelRows& rows, int set, int64_t offset, I* w) {
    for (int j = 0; j < 4; ++j) w[j] = rows16(rows, set, j, offset);
    transpose(w);
  }
  static void words32(const PanelRows& rows, int set, int64_t offset, I* w) {
    words16(rows, set, offset, w);
    words16(rows, set, offset + 16, w + 4);
  }
  static I row_sums(const I* a) {
    I w[4] = {a[0], a[1], a[2], a[3]};
    transpose(w);
    return add(add(w[0], w[1]), add(w[2], w[3]));
  }
  template <int64_t kBlock>
  static bool halves_of_8_blocks(const PanelRows&, int, int64_t, F*) {
    return false;
  }
  template <int64_t kBlock>
  static bool words_of_8_blocks(const PanelRows&, int, int64_t, I*) {
    return false;
  }
  template <int64_t kBlock>
  static bool dwords_of_8_blocks(const PanelRows&, int, int64_t, I*) {
    return false;
  }
};

}  // namespace

constinit const Int8Target kInt8Wasm = int8_target<RowVectors>("SIMD128", multiply<PanelVectors>);

}  // namespace exo::kernels
