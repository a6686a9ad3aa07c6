// What the 256-bit instruction sets share: everything but the dot product. Included by their files, which are
// compiled with the flags.
#include <immintrin.h>

#include <cstring>

#include "kernels/int8_multiply-inl.h"
#include "kernels/int8_target-inl.h"

namespace exo::kernels {
namespace {

struct Avx2Vectors {
  using I = __m256i;
  using F = __m256;
  static constexpr int kLanes = 8, kColumns = 2, kFewColumns = 2, kPanels = 1;
  static constexpr int kMostStraight = 4, kApartColumns = 2;
  EXO_INLINE static I zero() { return _mm256_setzero_si256(); }
  EXO_INLINE static I broadcast(int32_t v) { return _mm256_set1_epi32(v); }
  EXO_INLINE static I bytes(int v) { return _mm256_set1_epi8(static_cast<char>(v)); }
  EXO_INLINE static I load(const uint8_t* p) { return _mm256_load_si256(reinterpret_cast<const __m256i*>(p)); }
  EXO_INLINE static void store_bytes(uint8_t* p, I v) { _mm256_store_si256(reinterpret_cast<__m256i*>(p), v); }
  EXO_INLINE static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  EXO_INLINE static F load_f(const float* p) { return _mm256_loadu_ps(p); }
  EXO_INLINE static void store_f(float* p, F v) { _mm256_storeu_ps(p, v); }
  EXO_INLINE static F broadcast_f(float v) { return _mm256_set1_ps(v); }
  EXO_INLINE static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  EXO_INLINE static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  EXO_INLINE static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  EXO_INLINE static F from_bits(I v) { return _mm256_castsi256_ps(v); }
  EXO_INLINE static F negate(F v) { return _mm256_xor_ps(v, _mm256_set1_ps(-0.0f)); }

  EXO_INLINE static I and_(I a, I b) { return _mm256_and_si256(a, b); }
  EXO_INLINE static I or_(I a, I b) { return _mm256_or_si256(a, b); }
  EXO_INLINE static I xor_(I a, I b) { return _mm256_xor_si256(a, b); }
  EXO_INLINE static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  EXO_INLINE static I add_bytes(I a, I b) { return _mm256_add_epi8(a, b); }
  EXO_INLINE static I min_bytes(I a, I b) { return _mm256_min_epu8(a, b); }
  EXO_INLINE static I low_halves(I a, I b) { return _mm256_unpacklo_epi64(a, b); }
  EXO_INLINE static I high_halves(I a, I b) { return _mm256_unpackhi_epi64(a, b); }
  EXO_INLINE static I srl(I v, int n) { return _mm256_srli_epi32(v, n); }
  EXO_INLINE static I sll(I v, int n) { return _mm256_slli_epi32(v, n); }
  EXO_INLINE static I sra(I v, int n) { return _mm256_srai_epi32(v, n); }
  EXO_INLINE static I lookup(I table, I codes) { return _mm256_shuffle_epi8(table, codes); }
  EXO_INLINE static I broadcast16(const void* p) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  EXO_INLINE static I rows16(const PanelRows& rows, int set, int j, int64_t offset) {
    const auto at = [&](int b) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.row(set * kLanes + 4 * b + j) + offset));
    };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(at(0)), at(1), 1);
  }
  template <typename T>
  EXO_INLINE static I fields(const PanelRows& rows, int set, int64_t offset) {
    alignas(32) uint32_t values[kLanes];
    for (int r = 0; r < kLanes; ++r) {
      T value;
      std::memcpy(&value, rows.row(set * kLanes + r) + offset, sizeof value);
      values[r] = value;
    }
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(values));
  }
  EXO_INLINE static I fields8(const PanelRows& rows, int set, int64_t at) { return fields<uint8_t>(rows, set, at); }
  EXO_INLINE static I fields16(const PanelRows& rows, int set, int64_t at) {
    return fields<uint16_t>(rows, set, at);
  }
  EXO_INLINE static I fields32(const PanelRows& rows, int set, int64_t at) {
    return fields<uint32_t>(rows, set, at);
  }
  EXO_INLINE static F half_to_float(I v) {
    const I pick = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1, 0, 1, 4, 5, 8, 9, 12,
                                    13, -1, -1, -1, -1, -1, -1, -1, -1);
    const I packed = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(v, pick), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
  }
  EXO_INLINE static void transpose(I* w) {
    const I low01 = _mm256_unpacklo_epi32(w[0], w[1]), low23 = _mm256_unpacklo_epi32(w[2], w[3]);
    const I high01 = _mm256_unpackhi_epi32(w[0], w[1]), high23 = _mm256_unpackhi_epi32(w[2], w[3]);
    w[0] = _mm256_unpacklo_epi64(low01, low23);
    w[1] = _mm256_unpackhi_epi64(low01, low23);
    w[2] = _mm256_unpacklo_epi64(high01, high23);
    w[3] = _mm256_unpackhi_epi64(high01, high23);
  }
  EXO_INLINE static void words16(const PanelRows& rows, int set, int64_t offset, I* w) {
    for (int j = 0; j < 4; ++j) w[j] = rows16(rows, set, j, offset);
    transpose(w);
  }
  EXO_INLINE static void words32(const PanelRows& rows, int set, int64_t offset, I* w) {
    words16(rows, set, offset, w);
    words16(rows, set, offset + 16, w + 4);
  }
  EXO_INLINE static I row_sums(const I* a) {
    return _mm256_hadd_epi32(_mm256_hadd_epi32(a[0], a[1]), _mm256_hadd_epi32(a[2], a[3]));
  }
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
};

}  // namespace
}  // namespace exo::kernels
