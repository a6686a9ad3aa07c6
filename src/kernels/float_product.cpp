// Products of f32 activations with F32, F16 and BF16 weights, with the arithmetic of panel.h: rows are widened and
// turned into panels, a vector of which holds one column of several rows.
#include "kernels/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/float_product.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"
#include "kernels/math-inl.h"
#include "kernels/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace exo::kernels {
namespace HWY_NAMESPACE {

constexpr int kVectors = kPanelRows / kLanes;  // that hold one column of a panel
// Sums in registers: kTilePanels panels by kTileColumns columns.
constexpr int kTilePanels = HWY_TARGET == HWY_AVX3 ? kFloatPanels : 1;
constexpr int kTileColumns = kVectors <= 4 && HWY_TARGET != HWY_SSE4 ? 6 : 3;

float element(ElementType type, const std::byte* row, int64_t k) {
  if (type == ElementType::kF32) {
    float value;
    std::memcpy(&value, row + 4 * k, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, row + 2 * k, sizeof bits);
  return type == ElementType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void pack_plainly(ElementType type, const PanelRows& rows, int64_t first, int64_t begin, int64_t count,
                  float* panel) {
  for (int64_t k = begin; k < count; ++k) {
    for (int r = 0; r < kPanelRows; ++r) panel[k * kPanelRows + r] = element(type, rows.row(r), first + k);
  }
}

#if HWY_TARGET == HWY_SCALAR

bool multiply_float_rows(ElementType, const PanelRows&, const RowsAhead&, int64_t, int64_t, const float*, int64_t,
                         int64_t, float*, int64_t) {
  return false;
}

void pack_floats(ElementType type, const PanelRows& rows, const Ahead&, int64_t first, int64_t count,
                 float* panel) {
  pack_plainly(type, rows, first, 0, count, panel);
}

#else

// The one or two elements that each word holds.
template <ElementType kType>
HWY_INLINE void elements_of(V32 words, V& first, V& second) {
  using enum ElementType;
  if constexpr (kType == kF32) {
    first = hn::BitCast(d, words);
  } else if constexpr (kType == kBF16) {
    first = hn::BitCast(d, hn::ShiftLeft<16>(words));
    second = hn::BitCast(d, hn::And(words, hn::Set(d32, 0xffff0000)));
  } else {
    both_halves_to_float(words, first, second);
  }
}

template <ElementType kType>
HWY_INLINE void store_words(V32 words, float* HWY_RESTRICT to) {
  V first, second;
  elements_of<kType>(words, first, second);
  hn::StoreU(first, d, to);
  if constexpr (kType != ElementType::kF32) hn::StoreU(second, d, to + kPanelRows);
}

template <ElementType kType>
void pack_type(const PanelRows& rows, const Ahead& ahead, int64_t first, int64_t count, float* panel) {
  constexpr int kBytes = kType == ElementType::kF32 ? 4 : 2, kAtOnce = 64 / kBytes;
  const int64_t lines = count / kAtOnce;
  auto asked = ahead.ask(std::max<int64_t>(1, lines));
  for (int64_t line = 0; line < lines; ++line) {
    asked.step();
    float* to = panel + line * kAtOnce * kPanelRows;
    store_lines(rows, first * kBytes + line * 64, [&](int word, int set, V32 v) HWY_ATTR {
      store_words<kType>(v, to + word * (4 / kBytes) * kPanelRows + set * kRowsPerVector);
    });
  }
  pack_plainly(kType, rows, first, lines * kAtOnce, count, panel);
}

void pack_floats(ElementType type, const PanelRows& rows, const Ahead& ahead, int64_t first, int64_t count,
                 float* panel) {
  using enum ElementType;
  if (type == kF32) return pack_type<kF32>(rows, ahead, first, count, panel);
  if (type == kF16) return pack_type<kF16>(rows, ahead, first, count, panel);
  pack_type<kBF16>(rows, ahead, first, count, panel);
}

struct FloatsAsked {
  AskedLines<CacheLevel::kFirst> near;
  AskedLines<CacheLevel::kSecond> far;
};

// 64 bytes of each row, from column k on, into the chain that `sum` is.
template <ElementType kType, int kColumns>
HWY_INLINE void add_line(const PanelRows& rows, int64_t offset, FloatsAsked& asked, const float* HWY_RESTRICT x,
                         int64_t x_stride, V (&sum)[kSets][kColumns]) {
  constexpr int kPerWord = kType == ElementType::kF32 ? 1 : 2;
  V32 words[kSets][16];
  store_lines(rows, offset, [&](int word, int set, V32 v) HWY_ATTR { words[set][word] = v; });
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    asked.near.step();  // one by one: in a burst the requests are dropped
    asked.far.step();
    for (int set = 0; set < kSets; ++set) {
      V first, second;
      elements_of<kType>(words[set][i], first, second);
      for (int c = 0; c < kColumns; ++c) {
        sum[set][c] = hn::MulAdd(first, hn::Set(d, x[c * x_stride + kPerWord * i]), sum[set][c]);
      }
      if constexpr (kPerWord == 2) {
        for (int c = 0; c < kColumns; ++c) {
          sum[set][c] = hn::MulAdd(second, hn::Set(d, x[c * x_stride + 2 * i + 1]), sum[set][c]);
        }
      }
    }
  }
}

// Two chains at a time, since one alone would wait for its own sums.
template <ElementType kType, int kColumns>
void multiply_rows_of(const PanelRows& rows, const RowsAhead& ahead, int64_t first, int64_t count, const float* x,
                      int64_t x_stride, float* y, int64_t y_stride) {
  constexpr int kBytes = kType == ElementType::kF32 ? 4 : 2, kAtOnce = 64 / kBytes;
  constexpr int64_t kLines = kFloatChain / kAtOnce;
  V total[kSets][kColumns];
  for (int set = 0; set < kSets; ++set) {
    for (int c = 0; c < kColumns; ++c) total[set][c] = hn::LoadU(d, y + c * y_stride + set * kLanes);
  }
  const int64_t steps = count / kAtOnce * 16;
  FloatsAsked asked{{ahead.near, ahead.near_bytes, steps}, {ahead.far, ahead.far_bytes, steps}};
  for (int64_t k = 0; k < count; k += 2 * kFloatChain) {
    const int chains = k + kFloatChain < count ? 2 : 1;
    V sum[2][kSets][kColumns];
    for (auto& chain : sum) {
      for (auto& row : chain) {
        for (auto& v : row) v = hn::Zero(d);
      }
    }
    for (int64_t line = 0; line < kLines; ++line) {
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        if (i == chains) break;
        const int64_t at = k + i * kFloatChain + line * kAtOnce;
        add_line<kType, kColumns>(rows, (first + at) * kBytes, asked, x + at, x_stride, sum[i]);
      }
    }
    for (int i = 0; i < chains; ++i) {
      for (int set = 0; set < kSets; ++set) {
        for (int c = 0; c < kColumns; ++c) total[set][c] = hn::Add(total[set][c], sum[i][set][c]);
      }
    }
  }
  for (int set = 0; set < kSets; ++set) {
    for (int c = 0; c < kColumns; ++c) hn::StoreU(total[set][c], d, y + c * y_stride + set * kLanes);
  }
}

template <int kColumns>
void multiply_float_columns(ElementType type, const PanelRows& rows, const RowsAhead& ahead, int64_t first,
                            int64_t count, const float* x, int64_t x_stride, float* y, int64_t y_stride) {
  using enum ElementType;
  if (type == kF32) return multiply_rows_of<kF32, kColumns>(rows, ahead, first, count, x, x_stride, y, y_stride);
  if (type == kF16) return multiply_rows_of<kF16, kColumns>(rows, ahead, first, count, x, x_stride, y, y_stride);
  multiply_rows_of<kBF16, kColumns>(rows, ahead, first, count, x, x_stride, y, y_stride);
}

bool multiply_float_rows(ElementType type, const PanelRows& rows, const RowsAhead& ahead, int64_t first,
                         int64_t count, const float* x, int64_t x_stride, int64_t n, float* y, int64_t y_stride) {
  if (n > kStraightFloatColumns || count % kFloatChain != 0) return false;
  if (n == 1) multiply_float_columns<1>(type, rows, ahead, first, count, x, x_stride, y, y_stride);
  if (n == 2) multiply_float_columns<2>(type, rows, ahead, first, count, x, x_stride, y, y_stride);
  if (n == 3) multiply_float_columns<3>(type, rows, ahead, first, count, x, x_stride, y, y_stride);
  if (n == 4) multiply_float_columns<4>(type, rows, ahead, first, count, x, x_stride, y, y_stride);
  return true;
}

#endif  // HWY_TARGET == HWY_SCALAR

struct Columns {
  const float* HWY_RESTRICT x;
  int64_t x_stride;
  float* HWY_RESTRICT y;
  int64_t y_stride;
};

// kChains chains of kFloatChain columns at once, or one chain of `count` columns.
template <int kPanels, int kColumns, int kChains>
HWY_INLINE void add_chains(const float* HWY_RESTRICT panels, int64_t begin, int64_t count, const Columns& of) {
  V sum[kChains][kPanels * kVectors][kColumns];
  for (auto& chain : sum) {
    for (auto& row : chain) {
      for (auto& v : row) v = hn::Zero(d);
    }
  }
  for (int64_t k = begin; k < begin + count; ++k) {
#pragma GCC unroll 4
    for (int i = 0; i < kChains; ++i) {
      const int64_t at = k + i * kFloatChain;
      V w[kPanels * kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kPanels * kVectors; ++v) {
        w[v] = hn::LoadU(d, panels + (v / kVectors * kFloatPiece + at) * kPanelRows + v % kVectors * kLanes);
      }
#pragma GCC unroll 8
      for (int c = 0; c < kColumns; ++c) {
        const V x = hn::Set(d, of.x[c * of.x_stride + at]);
#pragma GCC unroll 8
        for (int v = 0; v < kPanels * kVectors; ++v) sum[i][v][c] = hn::MulAdd(w[v], x, sum[i][v][c]);
      }
    }
  }
  for (int v = 0; v < kPanels * kVectors; ++v) {
    for (int c = 0; c < kColumns; ++c) {
      float* y = of.y + c * of.y_stride + v * kLanes;
      V total = hn::LoadU(d, y);
      for (int i = 0; i < kChains; ++i) total = hn::Add(total, sum[i][v][c]);
      hn::StoreU(total, d, y);
    }
  }
}

template <int kPanels, int kColumns>
void add_tile(const float* panels, int64_t count, const Columns& of) {
  // One chain alone would wait for its own sums.
  constexpr int kTogether = kPanels * kVectors * kColumns >= 4 ? 1 : kColumns == 1 ? 4 / kVectors : 2;
  int64_t k = 0;
  for (; k + kTogether * kFloatChain <= count; k += kTogether * kFloatChain) {
    add_chains<kPanels, kColumns, kTogether>(panels, k, kFloatChain, of);
  }
  for (; k < count; k += kFloatChain) {
    add_chains<kPanels, kColumns, 1>(panels, k, HWY_MIN(kFloatChain, count - k), of);
  }
}

template <int kPanels>
void add_columns(const float* panels, int64_t count, Columns of, int64_t n) {
  const auto next = [&](int64_t columns) {
    of.x += columns * of.x_stride;
    of.y += columns * of.y_stride;
    n -= columns;
  };
  while (n >= kTileColumns) {
    add_tile<kPanels, kTileColumns>(panels, count, of);
    next(kTileColumns);
  }
  if (n >= 3) {
    add_tile<kPanels, 3>(panels, count, of);
    next(3);
  }
  if (n == 2) add_tile<kPanels, 2>(panels, count, of);
  if (n == 1) add_tile<kPanels, 1>(panels, count, of);
}

void multiply_floats(const float* panels, int n_panels, int64_t count, const float* x, int64_t x_stride,
                     int64_t n_columns, float* y, int64_t y_stride) {
  int p = 0;
  if constexpr (kTilePanels > 1) {
    for (; p + kTilePanels <= n_panels; p += kTilePanels) {
      add_columns<kTilePanels>(panels + p * kFloatPiece * kPanelRows, count,
                               {x, x_stride, y + p * kPanelRows, y_stride}, n_columns);
    }
  }
  for (; p < n_panels; ++p) {
    add_columns<1>(panels + p * kFloatPiece * kPanelRows, count, {x, x_stride, y + p * kPanelRows, y_stride},
                   n_columns);
  }
}

void fill_products(KernelTable& table) {
  table.pack_floats = pack_floats;
  table.multiply_float_rows = multiply_float_rows;
  table.multiply_floats = multiply_floats;
}

}  // namespace HWY_NAMESPACE
}  // namespace exo::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/dispatch-inl.h"
namespace exo::kernels {
bool fill_float_product(int64_t target, KernelTable& table) {
  EXO_DISPATCH(target, fill_products(table))
  return false;
}
}  // namespace exo::kernels
#endif
