// AVX-512 VNNI. Compiled with its own flags (module.cmake); called only where the processor has them.
#include <immintrin.h>

#include <cstring>

#include "kernels/int8_multiply-inl.h"
#include "kernels/int8_target-inl.h"

namespace exo::kernels {
namespace {

struct Avx512Vnni {
  using I = __m512i;
  using F = __m512;
  static constexpr int kLanes = 16, kColumns = 6, kFewColumns = 8, kPanels = 2;
  static constexpr int kMostStraight = 3, kApartColumns = 3;
  static constexpr bool kUnsigned = true;
  EXO_INLINE static I zero() { return _mm512_setzero_si512(); }
  EXO_INLINE static I broadcast(int32_t v) { return _mm512_set1_epi32(v); }
  EXO_INLINE static I bytes(int v) { return _mm512_set1_epi8(static_cast<char>(v)); }
  EXO_INLINE static I load(const uint8_t* p) { return _mm512_load_si512(p); }
  EXO_INLINE static void store_bytes(uint8_t* p, I v) { _mm512_store_si512(p, v); }
  EXO_INLINE static I dot(I sum, I w, I x) { return _mm512_dpbusd_epi32(sum, w, x); }
  EXO_INLINE static I small_dot(I sum, I w, I x) { return dot(sum, w, x); }
  EXO_INLINE static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  EXO_INLINE static F load_f(const float* p) { return _mm512_loadu_ps(p); }
  EXO_INLINE static void store_f(float* p, F v) { _mm512_storeu_ps(p, v); }
  EXO_INLINE static F broadcast_f(float v) { return _mm512_set1_ps(v); }
  EXO_INLINE static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  EXO_INLINE static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  EXO_INLINE static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  EXO_INLINE static F from_bits(I v) { return _mm512_castsi512_ps(v); }
  EXO_INLINE static F negate(F v) { return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f)); }

  EXO_INLINE static I and_(I a, I b) { return _mm512_and_si512(a, b); }
  EXO_INLINE static I or_(I a, I b) { return _mm512_or_si512(a, b); }
  EXO_INLINE static I xor_(I a, I b) { return _mm512_xor_si512(a, b); }
  EXO_INLINE static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  EXO_INLINE static I add_bytes(I a, I b) { return _mm512_add_epi8(a, b); }
  EXO_INLINE static I min_bytes(I a, I b) { return _mm512_min_epu8(a, b); }
  EXO_INLINE static I low_halves(I a, I b) { return _mm512_unpacklo_epi64(a, b); }
  EXO_INLINE static I high_halves(I a, I b) { return _mm512_unpackhi_epi64(a, b); }
  EXO_INLINE static I srl(I v, int n) { return _mm512_srli_epi32(v, static_cast<unsigned>(n)); }
  EXO_INLINE static I sll(I v, int n) { return _mm512_slli_epi32(v, static_cast<unsigned>(n)); }
  EXO_INLINE static I sra(I v, int n) { return _mm512_srai_epi32(v, static_cast<unsigned>(n)); }
  EXO_INLINE static I lookup(I table, I codes) { return _mm512_shuffle_epi8(table, codes); }
  EXO_INLINE static I broadcast16(const void* p) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  EXO_INLINE static I rows16(const PanelRows& rows, int, int j, int64_t offset) {
    const auto at = [&](int b) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows.row(4 * b + j) + offset));
    };
    I v = _mm512_castsi128_si512(at(0));
    v = _mm512_inserti32x4(v, at(1), 1);
    v = _mm512_inserti32x4(v, at(2), 2);
    return _mm512_inserti32x4(v, at(3), 3);
  }
  // Pairs are put together in integer registers: half the stores.
  template <typename T>
  EXO_INLINE static I fields(const PanelRows& rows, int64_t offset) {
    alignas(64) uint64_t pairs[kLanes / 2];
    for (int r = 0; r < kLanes; r += 2) {
      T low, high;
      std::memcpy(&low, rows.row(r) + offset, sizeof low);
      std::memcpy(&high, rows.row(r + 1) + offset, sizeof high);
      pairs[r / 2] = low | static_cast<uint64_t>(high) << 32;
    }
    return _mm512_load_si512(pairs);
  }
  EXO_INLINE static I fields8(const PanelRows& rows, int, int64_t at) { return fields<uint8_t>(rows, at); }
  EXO_INLINE static I fields16(const PanelRows& rows, int, int64_t at) { return fields<uint16_t>(rows, at); }
  EXO_INLINE static I fields32(const PanelRows& rows, int, int64_t at) { return fields<uint32_t>(rows, at); }
  EXO_INLINE static F half_to_float(I v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }
  EXO_INLINE static void transpose(I* w) {
    const I low01 = _mm512_unpacklo_epi32(w[0], w[1]), low23 = _mm512_unpacklo_epi32(w[2], w[3]);
    const I high01 = _mm512_unpackhi_epi32(w[0], w[1]), high23 = _mm512_unpackhi_epi32(w[2], w[3]);
    w[0] = _mm512_unpacklo_epi64(low01, low23);
    w[1] = _mm512_unpackhi_epi64(low01, low23);
    w[2] = _mm512_unpacklo_epi64(high01, high23);
    w[3] = _mm512_unpackhi_epi64(high01, high23);
  }
  EXO_INLINE static void words16(const PanelRows& rows, int set, int64_t offset, I* w) {
    for (int j = 0; j < 4; ++j) w[j] = rows16(rows, set, j, offset);
    transpose(w);
  }
  // Rows j and 4 + j, then 8 + j and 12 + j side by side, so that half as many parts are put together.
  EXO_INLINE static void words32(const PanelRows& rows, int, int64_t offset, I* w) {
    const auto two = [&](int r) {
      const auto at = [&](int row) {
        return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows.row(row) + offset));
      };
      return _mm512_inserti64x4(_mm512_castsi256_si512(at(r)), at(r + 4), 1);
    };
    I low[4], high[4];
    for (int j = 0; j < 4; ++j) low[j] = two(j), high[j] = two(8 + j);
    transpose(low);
    transpose(high);
    for (int i = 0; i < 4; ++i) {
      w[i] = _mm512_shuffle_i32x4(low[i], high[i], 0x88);
      w[4 + i] = _mm512_shuffle_i32x4(low[i], high[i], 0xdd);
    }
  }
  EXO_INLINE static I row_sums(const I* a) {
    const I s01 = add(_mm512_unpacklo_epi32(a[0], a[1]), _mm512_unpackhi_epi32(a[0], a[1]));
    const I s23 = add(_mm512_unpacklo_epi32(a[2], a[3]), _mm512_unpackhi_epi32(a[2], a[3]));
    return add(_mm512_unpacklo_epi64(s01, s23), _mm512_unpackhi_epi64(s01, s23));
  }
  // Sums of the eight words of each half: half 0 of a[k] is row k (k < 4) or 4 + k, half 1 the row four further.
  EXO_INLINE static I row_sums_of_halves(const I* a) {
    const auto words = [](I x, I z) { return add(_mm512_unpacklo_epi32(x, z), _mm512_unpackhi_epi32(x, z)); };
    const auto pairs = [](I x, I z) { return add(_mm512_unpacklo_epi64(x, z), _mm512_unpackhi_epi64(x, z)); };
    const I low = pairs(words(a[0], a[1]), words(a[2], a[3])), high = pairs(words(a[4], a[5]), words(a[6], a[7]));
    return add(_mm512_shuffle_i64x2(low, high, 0x88), _mm512_shuffle_i64x2(low, high, 0xdd));
  }
  // 32 bytes of two rows, in the order of row_sums_of_halves.
  EXO_INLINE static I two_rows32(const PanelRows& rows, int k, int64_t offset) {
    const int r = k < 4 ? k : 4 + k;
    const auto at = [&](int row) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(rows.row(row) + offset));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(at(r)), at(r + 4), 1);
  }
  EXO_INLINE static I broadcast32(const void* p) {
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  }

  // The first 32-bit words of 8 blocks: picked from a few vectors of a row, then turned.
  template <int64_t kBlock>
  EXO_INLINE static bool dwords_of_8_blocks(const PanelRows& rows, int, int64_t at, I* groups) {
    static_assert(kBlock == 20 || kBlock == 24 || kBlock == 36);
    const auto indices = [](int a, int b, int c, int d, int e, int f, int g, int h) {
      return _mm512_castsi256_si512(_mm256_setr_epi32(a, b, c, d, e, f, g, h));
    };
    const auto of_row = [&](int r) {
      const std::byte* p = rows.row(r) + at;
      const auto pick = [&](int low, I which, int high) {
        return _mm512_permutex2var_epi32(_mm512_loadu_si512(p + low), which, _mm512_loadu_si512(p + high));
      };
      if constexpr (kBlock == 20) {
        return _mm512_castsi512_si256(pick(0, indices(0, 5, 10, 15, 16, 21, 26, 31), 80));
      } else if constexpr (kBlock == 24) {
        const I six = pick(0, indices(0, 6, 12, 16, 22, 28, 0, 0), 72);
        return _mm512_castsi512_si256(
            _mm512_permutex2var_epi32(six, indices(0, 1, 2, 3, 4, 5, 20, 26), _mm512_loadu_si512(p + 128)));
      } else {
        const I which = indices(0, 9, 16, 25, 0, 0, 0, 0);
        return _mm256_inserti128_si256(_mm512_castsi512_si256(pick(0, which, 72)),
                                       _mm512_castsi512_si128(pick(144, which, 216)), 1);
      }
    };
    I low[4], high[4];  // rows i and 8 + i, then 4 + i and 12 + i
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_inserti64x4(_mm512_castsi256_si512(of_row(i)), of_row(8 + i), 1);
      high[i] = _mm512_inserti64x4(_mm512_castsi256_si512(of_row(4 + i)), of_row(12 + i), 1);
    }
    transpose(low);
    transpose(high);
    for (int g = 0; g < 4; ++g) {
      groups[g] = _mm512_permutex2var_epi64(low[g], _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high[g]);
      groups[4 + g] = _mm512_permutex2var_epi64(low[g], _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15), high[g]);
    }
    return true;
  }

  // The halves at the starts of 8 blocks of each row, as floats: the 32-bit words that hold them are picked from
  // two or four vectors of a row, those of two rows joined, and rows of groups turned into groups of rows.
  template <int64_t kBlock>
  EXO_INLINE static bool halves_of_8_blocks(const PanelRows& rows, int, int64_t at, F* groups) {
    if constexpr (kBlock != 18 && kBlock != 34) return false;
    constexpr auto word = [](int g) { return static_cast<int>(kBlock * g / 4); };
    const auto of_row = [&](int r) {
      const std::byte* p = rows.row(r) + at;
      const auto pick = [&](int part, I which) {
        return _mm512_permutex2var_epi32(_mm512_loadu_si512(p + 64 * part), which,
                                         _mm512_loadu_si512(p + 64 * part + 64));
      };
      if constexpr (kBlock < 32) {
        return pick(0, _mm512_broadcast_i64x4(_mm256_setr_epi32(word(0), word(1), word(2), word(3), word(4),
                                                                word(5), word(6), word(7))));
      } else {
        const I first = pick(0, _mm512_broadcast_i32x4(_mm_setr_epi32(word(0), word(1), word(2), word(3))));
        const I last =
            pick(2, _mm512_broadcast_i32x4(_mm_setr_epi32(word(4) - 32, word(5) - 32, word(6) - 32, word(7) - 32)));
        return _mm512_mask_blend_epi32(0xf0f0, first, last);
      }
    };
    // Halves of two rows in each word, of odd groups the second row's first: theirs are the upper halves of words.
    const auto of_pair = [&](int pair) {
      return _mm512_mask_blend_epi16(0x66666666, of_row(2 * pair), _mm512_rol_epi32(of_row(2 * pair + 1), 16));
    };
    I four[4];  // rows 4q and 4q + 1 of the 8 groups, then 4q + 2 and 4q + 3
    for (int q = 0; q < 4; ++q) four[q] = _mm512_mask_blend_epi32(0xff00, of_pair(2 * q), of_pair(2 * q + 1));
    for (int half = 0; half < 2; ++half) {
      // Lane g: group g (or 4 + g) of 8 rows.
      const I order = _mm512_add_epi32(_mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27),
                                       _mm512_set1_epi32(4 * half));
      const I first = _mm512_permutex2var_epi32(four[0], order, four[1]);
      const I second = _mm512_permutex2var_epi32(four[2], order, four[3]);
      for (int two = 0; two < 2; ++two) {
        const I which =
            two == 0 ? _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11) : _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
        I both = _mm512_permutex2var_epi64(first, which, second);
        both = _mm512_mask_rol_epi32(both, 0xff00, both, 16);
        groups[4 * half + 2 * two] = _mm512_cvtph_ps(_mm512_castsi512_si256(both));
        groups[4 * half + 2 * two + 1] = _mm512_cvtph_ps(_mm512_extracti64x4_epi64(both, 1));
      }
    }
    return true;
  }

  // The 16-bit words that hold the first byte of each of 8 blocks: picked from two vectors of a row, then turned
  // from rows of groups into groups of rows.
  template <int64_t kBlock>
  EXO_INLINE static bool words_of_8_blocks(const PanelRows& rows, int, int64_t at, I* groups) {
    if constexpr (kBlock != 17) return false;
    constexpr auto word = [](int g) { return static_cast<short>(kBlock * g / 2); };
    const auto of_row = [&](int r) {
      const std::byte* p = rows.row(r) + at;
      const I words = _mm512_broadcast_i32x4(
          _mm_setr_epi16(word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)));
      return _mm512_permutex2var_epi16(_mm512_loadu_si512(p), words, _mm512_loadu_si512(p + 64));
    };
    I quad[4];  // lane i: the 8 words of row 4q + i
    for (int q = 0; q < 4; ++q) {
      const I low = _mm512_mask_blend_epi64(0x0c, of_row(4 * q), of_row(4 * q + 1));
      const I high = _mm512_mask_blend_epi64(0xc0, of_row(4 * q + 2), of_row(4 * q + 3));
      quad[q] = _mm512_mask_blend_epi64(0xf0, low, high);
    }
    // Lane g: group g (or 4 + g) of rows 0…7, then of rows 8…15.
    alignas(64) static constexpr auto kOrder = [] {
      struct Order {
        int16_t index[2][32];
      } order{};
      for (int half = 0; half < 2; ++half) {
        for (int g = 0; g < 4; ++g) {
          for (int r = 0; r < 8; ++r) {
            order.index[half][8 * g + r] = static_cast<int16_t>(r / 4 * 32 + r % 4 * 8 + 4 * half + g);
          }
        }
      }
      return order;
    }();
    for (int half = 0; half < 2; ++half) {
      const I order = _mm512_load_si512(kOrder.index[half]);
      const I first = _mm512_permutex2var_epi16(quad[0], order, quad[1]);
      const I second = _mm512_permutex2var_epi16(quad[2], order, quad[3]);
      const I groups01 = _mm512_permutex2var_epi64(first, _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11), second);
      const I groups23 = _mm512_permutex2var_epi64(first, _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15), second);
      groups[4 * half] = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(groups01));
      groups[4 * half + 1] = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(groups01, 1));
      groups[4 * half + 2] = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(groups23));
      groups[4 * half + 3] = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(groups23, 1));
    }
    return true;
  }
};

}  // namespace

constinit const Int8Target kInt8Avx512Vnni = int8_target<Avx512Vnni>("AVX512-VNNI");

}  // namespace exo::kernels
