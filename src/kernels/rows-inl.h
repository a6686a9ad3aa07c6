// 16 weight rows as vectors, once per target: a vector is a few 128-bit blocks, one block per four rows, and a 4 x
// 4 transposition of 32-bit words within blocks brings the same columns of four rows side by side. Included inside
// HWY_BEFORE_NAMESPACE. HWY_SCALAR, which has no blocks, has none of it.
#if defined(EXO_KERNELS_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef EXO_KERNELS_ROWS_INL_H_
#undef EXO_KERNELS_ROWS_INL_H_
#else
#define EXO_KERNELS_ROWS_INL_H_
#endif

#include <cstring>

#include "hwy/highway.h"
#include "kernels/math-inl.h"
#include "kernels/panel.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {
#if HWY_TARGET != HWY_SCALAR

using D8 = hn::ScalableTag<uint8_t>;
using D64 = hn::ScalableTag<uint64_t>;
using V8 = hn::Vec<D8>;
constexpr D8 d8;
constexpr D64 d64;
constexpr int kVectorBytes = HWY_MAX_BYTES;
constexpr int kRowsPerVector = kVectorBytes / 4;
constexpr int kSets = kPanelRows / kRowsPerVector;  // vectors that hold one 32-bit word of all 16 rows

// The rows of one set, addressed so that few registers serve all of them.
struct Rows {
  const std::byte* quad[kVectorBytes / 16];
  int64_t stride;
  HWY_INLINE Rows(const PanelRows& rows, int set) : stride(rows.stride) {
    for (int b = 0; b < kVectorBytes / 16; ++b) quad[b] = rows.row(set * kRowsPerVector + 4 * b);
  }
  HWY_INLINE const std::byte* at(int b, int j, int64_t offset) const { return quad[b] + offset + j * stride; }
};

// Block b of the result: 16 bytes at `offset` of row 4 * b + j of the set.
HWY_INLINE V32 load_rows(const Rows& rows, int j, int64_t offset) {
#if HWY_TARGET <= HWY_AVX3 && HWY_MAX_BYTES == 64
  const auto at = [&](int b)
                      HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.at(b, j, offset))); };
  __m512i v = _mm512_castsi128_si512(at(0));
  v = _mm512_inserti32x4(v, at(1), 1);
  v = _mm512_inserti32x4(v, at(2), 2);
  return V32{_mm512_inserti32x4(v, at(3), 3)};
#elif HWY_TARGET == HWY_AVX2
  const auto at = [&](int b)
                      HWY_ATTR { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.at(b, j, offset))); };
  return V32{_mm256_inserti128_si256(_mm256_castsi128_si256(at(0)), at(1), 1)};
#else
  return hn::BitCast(d32, hn::LoadU(d8, reinterpret_cast<const uint8_t*>(rows.at(0, j, offset))));
#endif
}

// to[i]: word i of 16 bytes at `offset`, for the rows of the set in order.
HWY_INLINE void load_words(const Rows& rows, int64_t offset, V32* to) {
  const V32 a0 = load_rows(rows, 0, offset), a1 = load_rows(rows, 1, offset);
  const V32 a2 = load_rows(rows, 2, offset), a3 = load_rows(rows, 3, offset);
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d32, a0, a1));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d32, a2, a3));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d32, a0, a1));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d32, a2, a3));
  to[0] = hn::BitCast(d32, hn::InterleaveLower(d64, low01, low23));
  to[1] = hn::BitCast(d32, hn::InterleaveUpper(d64, low01, low23));
  to[2] = hn::BitCast(d32, hn::InterleaveLower(d64, high01, high23));
  to[3] = hn::BitCast(d32, hn::InterleaveUpper(d64, high01, high23));
}

// The 16 words of 64 bytes at `offset` of all 16 rows: word i to at(i, set). Each row's cache line is touched once:
// rows a power of two apart compete for the same few places of the first-level cache.
template <typename At>
HWY_INLINE void store_lines(const PanelRows& rows, int64_t offset, At at) {
#if HWY_TARGET == HWY_AVX3
  __m512i quad[4][4];  // [rows 4q…4q + 3][i]: block b holds word 4b + i
  for (int q = 0; q < 4; ++q) {
    const auto line = [&](int r) HWY_ATTR { return _mm512_loadu_si512(rows.row(4 * q + r) + offset); };
    const __m512i a0 = line(0), a1 = line(1), a2 = line(2), a3 = line(3);
    const __m512i low01 = _mm512_unpacklo_epi32(a0, a1), low23 = _mm512_unpacklo_epi32(a2, a3);
    const __m512i high01 = _mm512_unpackhi_epi32(a0, a1), high23 = _mm512_unpackhi_epi32(a2, a3);
    quad[q][0] = _mm512_unpacklo_epi64(low01, low23);
    quad[q][1] = _mm512_unpackhi_epi64(low01, low23);
    quad[q][2] = _mm512_unpacklo_epi64(high01, high23);
    quad[q][3] = _mm512_unpackhi_epi64(high01, high23);
  }
  for (int i = 0; i < 4; ++i) {
    const __m512i even01 = _mm512_shuffle_i32x4(quad[0][i], quad[1][i], 0x88);  // blocks 0 and 2 of both
    const __m512i odd01 = _mm512_shuffle_i32x4(quad[0][i], quad[1][i], 0xdd);
    const __m512i even23 = _mm512_shuffle_i32x4(quad[2][i], quad[3][i], 0x88);
    const __m512i odd23 = _mm512_shuffle_i32x4(quad[2][i], quad[3][i], 0xdd);
    at(i, 0, V32{_mm512_shuffle_i32x4(even01, even23, 0x88)});
    at(4 + i, 0, V32{_mm512_shuffle_i32x4(odd01, odd23, 0x88)});
    at(8 + i, 0, V32{_mm512_shuffle_i32x4(even01, even23, 0xdd)});
    at(12 + i, 0, V32{_mm512_shuffle_i32x4(odd01, odd23, 0xdd)});
  }
#else
  HWY_ALIGN uint8_t lines[kPanelRows][64];
  for (int r = 0; r < kPanelRows; ++r) {
    for (int i = 0; i < 64; i += kVectorBytes) {
      hn::Store(hn::LoadU(d8, reinterpret_cast<const uint8_t*>(rows.row(r) + offset + i)), d8, lines[r] + i);
    }
  }
  const PanelRows copy{reinterpret_cast<const std::byte*>(lines[0]), 64};
  for (int set = 0; set < kSets; ++set) {
    for (int part = 0; part < 4; ++part) {
      V32 words[4];
      load_words(Rows(copy, set), 16 * part, words);
      for (int i = 0; i < 4; ++i) at(4 * part + i, set, words[i]);
    }
  }
#endif
}

#endif  // HWY_TARGET != HWY_SCALAR
}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();
#endif
