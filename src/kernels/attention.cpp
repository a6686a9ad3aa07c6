// Attention over one chunk of positions: scores, online softmax (Milakov and Gimelshein 2018), weighted values.
// What is computed for a row does not depend on the rows beside it.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include <algorithm>
#include <cmath>

#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/blocks.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

// What is about to be used is asked for a little at a time: processors drop requests that come in hundreds.
HWY_INLINE void prefetch(const std::byte* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 3);
}

// Rows and vectors of one tile: as many sums as hide the latency of multiply-add, within the registers there are.
constexpr int kTileRows = HWY_ARCH_X86 && kLanes < 16 ? 4 : 8, kTileVectors = 2;

// Vectors of a cache in its number format: kLanes elements from element i of one position, as f32.
struct F32Vector {
  static constexpr int64_t bytes(int64_t dim) { return dim * static_cast<int64_t>(sizeof(float)); }
  static HWY_INLINE V at(const std::byte* p, int64_t i) {
    return hn::LoadU(d, reinterpret_cast<const float*>(p) + i);
  }
};
struct F16Vector {
  static constexpr int64_t bytes(int64_t dim) { return dim * static_cast<int64_t>(sizeof(hwy::float16_t)); }
  static HWY_INLINE V at(const std::byte* p, int64_t i) {
    return hn::PromoteTo(
        d, hn::LoadU(hn::Rebind<hwy::float16_t, D>(), reinterpret_cast<const hwy::float16_t*>(p) + i));
  }
};
struct Q8Vector {
  static constexpr int64_t bytes(int64_t dim) { return dim / kGroup * static_cast<int64_t>(sizeof(BlockQ8_0)); }
  static HWY_INLINE V at(const std::byte* p, int64_t i) {
    const auto& block = reinterpret_cast<const BlockQ8_0*>(p)[i / kGroup];
    const hn::Rebind<uint16_t, D> d16;
    const V scale = hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, D>(), hn::Set(d16, block.d)));
    const auto q = hn::LoadU(hn::Rebind<int8_t, D>(), block.q + i % kGroup);
    return hn::Mul(scale, hn::ConvertTo(d, hn::PromoteTo(hn::RebindToSigned<D>(), q)));
  }
};

// kLanes elements of four positions: turned within the 128-bit parts of vectors, which are then put in their
// places.
template <typename Vector>
HWY_INLINE void transpose4(const std::byte* const* from, int64_t at, float* HWY_RESTRICT to) {
  const V a = Vector::at(from[0], at), b = Vector::at(from[1], at);
  const V c = Vector::at(from[2], at), e = Vector::at(from[3], at);
#if HWY_TARGET == HWY_SCALAR
  const V turned[4] = {a, b, c, e};
  for (int r = 0; r < 4; ++r) to[r] = hn::GetLane(turned[r]);
#else
  const hn::RepartitionToWide<D> d64;
  const auto wide = [&](auto v) { return hn::BitCast(d64, v); };
  const auto low_ab = wide(hn::InterleaveLower(d, a, b)), low_ce = wide(hn::InterleaveLower(d, c, e));
  const auto high_ab = wide(hn::InterleaveUpper(d, a, b)), high_ce = wide(hn::InterleaveUpper(d, c, e));
  HWY_ALIGN float turned[4 * kLanes];
  const auto put = [&](auto v, int i) { hn::Store(hn::BitCast(d, v), d, turned + i * kLanes); };
  put(hn::InterleaveLower(d64, low_ab, low_ce), 0);
  put(hn::InterleaveUpper(d64, low_ab, low_ce), 1);
  put(hn::InterleaveLower(d64, high_ab, high_ce), 2);
  put(hn::InterleaveUpper(d64, high_ab, high_ce), 3);
  for (int64_t i = 0; i < kLanes; ++i) {
    std::memcpy(to + i * kAttentionChunk, turned + i % 4 * kLanes + i / 4 * 4, 4 * sizeof(float));
  }
#endif
}

template <typename Vector>
bool transpose_all(const std::byte* const* keys, const std::byte* const* next, int64_t dim, float* kt) {
  for (int64_t j = 0; j < kAttentionChunk; j += 4) {
    for (int64_t r = j; next && r < j + 4; ++r) prefetch(next[r], Vector::bytes(dim));
    for (int64_t i = 0; i < dim; i += kLanes) transpose4<Vector>(keys + j, i, kt + i * kAttentionChunk + j);
  }
  return true;
}

bool transpose_keys(ElementType type, const std::byte* const* keys, const std::byte* const* next, int64_t dim,
                    float* kt) {
  if (dim % kLanes != 0) return false;
  if (type == ElementType::kF32) return transpose_all<F32Vector>(keys, next, dim, kt);
  if constexpr (kNativeHalf) {
    if (type == ElementType::kF16) return transpose_all<F16Vector>(keys, next, dim, kt);
    if (type == ElementType::kQ8_0) return transpose_all<Q8Vector>(keys, next, dim, kt);
  }
  return false;
}

template <int R>
HWY_INLINE void score_rows(const float* HWY_RESTRICT q, int64_t q_stride, const float* HWY_RESTRICT kt, int64_t dim,
                           float* HWY_RESTRICT s) {
  constexpr int N = kTileVectors;
  for (int64_t j = 0; j < kAttentionChunk; j += N * kLanes) {
    V acc[R][N];
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n) acc[r][n] = hn::Zero(d);
    }
    for (int64_t i = 0; i < dim; ++i) {
      V k[N];
      for (int n = 0; n < N; ++n) k[n] = hn::LoadU(d, kt + i * kAttentionChunk + j + n * kLanes);
      for (int r = 0; r < R; ++r) {
        const V x = hn::Set(d, q[r * q_stride + i]);
        for (int n = 0; n < N; ++n) acc[r][n] = hn::MulAdd(x, k[n], acc[r][n]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int n = 0; n < N; ++n) hn::StoreU(acc[r][n], d, s + r * kAttentionChunk + j + n * kLanes);
    }
  }
}

// Calls tile.run<R>(first row) for all rows, with the largest R that is left.
template <int R = kTileRows, typename Tile>
HWY_INLINE void for_row_tiles(int rows, const Tile& tile, int first = 0) {
  for (; first + R <= rows; first += R) tile.template run<R>(first);
  if constexpr (R > 1) for_row_tiles<R / 2>(rows, tile, first);
}

struct ScoreTile {
  const float* q;
  int64_t q_stride;
  const float* kt;
  int64_t dim;
  float* s;
  template <int R>
  HWY_INLINE void run(int r) const {
    score_rows<R>(q + r * q_stride, q_stride, kt, dim, s + r * kAttentionChunk);
  }
};

void scores(const float* q, int64_t q_stride, int rows, const float* kt, int64_t dim, float* s) {
  for_row_tiles(rows, ScoreTile{q, q_stride, kt, dim, s});
}

// exp(s - largest), summed; scores of positions that are not attended to are below every other.
HWY_INLINE float exponentials(float* HWY_RESTRICT s, float largest) {
  const V m = hn::Set(d, largest), floor = hn::Set(d, -87.0f);
  V chunk = hn::Zero(d);
  for (int64_t j = 0; j < kAttentionChunk; j += kLanes) {
    const V x = hn::Sub(hn::LoadU(d, s + j), m);
    const V p = hn::IfThenElseZero(hn::Gt(x, floor), exp(x));
    chunk = hn::Add(chunk, p);
    hn::StoreU(p, d, s + j);
  }
  return sum(chunk);
}

void softmax_rows(float* s, int rows, const ChunkRange* ranges, float* maximum, float* total, float* factor) {
  for (int r = 0; r < rows; ++r, s += kAttentionChunk) {
    const auto [begin, end] = ranges[r];
    if (end - begin < kAttentionChunk) {
      if (begin >= end) {
        std::fill_n(s, kAttentionChunk, 0.0f);
        factor[r] = 1.0f;
        continue;
      }
      std::fill_n(s, begin, -1e30f);
      std::fill(s + end, s + kAttentionChunk, -1e30f);
    }
    V most = hn::LoadU(d, s);
    for (int64_t j = kLanes; j < kAttentionChunk; j += kLanes) most = hn::Max(most, hn::LoadU(d, s + j));
    const float largest = HWY_MAX(maximum[r], hn::GetLane(hn::MaxOfLanes(d, most)));
    factor[r] = maximum[r] == largest ? 1.0f : std::exp(maximum[r] - largest);
    total[r] = total[r] * factor[r] + exponentials(s, largest);
    maximum[r] = largest;
  }
}

// Values of a chunk as f32 rows, or as the cache holds them.
struct WideValues {
  const float* v;
  int64_t stride;
  HWY_INLINE V at(int j, int64_t i) const { return hn::LoadU(d, v + j * stride + i); }
};
template <typename Vector>
struct StoredValues {
  const std::byte* const* v;
  HWY_INLINE V at(int j, int64_t i) const { return Vector::at(v[j], i); }
};

template <int R, int N, typename Values>
HWY_INLINE void mix_tile(const float* HWY_RESTRICT p, const float* HWY_RESTRICT factor, const Values& values, int n,
                         int64_t at, float* HWY_RESTRICT o, int64_t o_stride) {
  V acc[R][N];
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < N; ++i) {
      acc[r][i] = hn::Mul(hn::LoadU(d, o + r * o_stride + at + i * kLanes), hn::Set(d, factor[r]));
    }
  }
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < N; ++i) {
      const V value = values.at(j, at + i * kLanes);
      for (int r = 0; r < R; ++r) acc[r][i] = hn::MulAdd(hn::Set(d, p[r * kAttentionChunk + j]), value, acc[r][i]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int i = 0; i < N; ++i) hn::StoreU(acc[r][i], d, o + r * o_stride + at + i * kLanes);
  }
}

template <typename Values>
struct MixTile {
  const float* p;
  const float* factor;
  Values values;
  int n;
  int64_t dim;
  float* o;
  int64_t o_stride;
  template <int R>
  HWY_INLINE void run(int r) const {
    constexpr int N = kTileVectors;
    const float* pr = p + r * kAttentionChunk;
    float* to = o + r * o_stride;
    int64_t i = 0;
    for (; i + N * kLanes <= dim; i += N * kLanes) mix_tile<R, N>(pr, factor + r, values, n, i, to, o_stride);
    for (; i < dim; i += kLanes) mix_tile<R, 1>(pr, factor + r, values, n, i, to, o_stride);
  }
};

void mix_values(const float* p, const float* factor, int rows, const float* v, int64_t v_stride, int n, int64_t dim,
                float* o, int64_t o_stride) {
  for_row_tiles(rows, MixTile<WideValues>{p, factor, {v, v_stride}, n, dim, o, o_stride});
}

struct MixCall {
  const float* p;
  const float* factor;
  int rows;
  const std::byte* const* v;
  const std::byte* const* next;
  int n;
  int64_t dim;
  float* o;
  int64_t o_stride;
};

template <typename Vector>
bool mix_all_stored(const MixCall& call) {
  constexpr int kPiece = 8;  // positions: those of `next` are asked for, then these used
  float factor[kTileRows];
  std::copy_n(call.factor, call.rows, factor);
  for (int j = 0; j < call.n; j += kPiece) {
    const int count = HWY_MIN(kPiece, call.n - j);
    for (int k = j; call.next && k < j + count; ++k) prefetch(call.next[k], Vector::bytes(call.dim));
    for_row_tiles(call.rows, MixTile<StoredValues<Vector>>{
                                 call.p + j, factor, {call.v + j}, count, call.dim, call.o, call.o_stride});
    std::fill_n(factor, call.rows, 1.0f);
  }
  return true;
}

bool mix_stored(ElementType type, const float* p, const float* factor, int rows, const std::byte* const* v,
                const std::byte* const* next, int n, int64_t dim, float* o, int64_t o_stride) {
  if (rows > kTileRows || dim % kLanes != 0) return false;
  if constexpr (kNativeHalf) {
    const MixCall call{p, factor, rows, v, next, n, dim, o, o_stride};
    if (type == ElementType::kF16) return mix_all_stored<F16Vector>(call);
    if (type == ElementType::kQ8_0 && dim % kGroup == 0) return mix_all_stored<Q8Vector>(call);
  }
  return false;
}

void fill_chunk(KernelTable& table) {
  table.transpose_keys = transpose_keys;
  table.scores = scores;
  table.softmax_rows = softmax_rows;
  table.mix_values = mix_values;
  table.mix_stored = mix_stored;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_attention(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_chunk(table))
  return false;
}
}  // namespace exo::kernels
#endif
