#pragma once
// Operands of the integer matrix product, and the arithmetic that every implementation follows bit for bit:
//
//   y = 0;  for each group g of 32 columns, in order, for each half h (one h for formats without half-group
//   scales):
//     y = fma(float(Σ q_w · q_x), scale_w * scale_x, y)       Σ over the group (or half), exact
//     y = fma(-min_w, scaled_sum_x, y)                        formats with minimums only
//
// So a row's result depends neither on what else is in the batch nor on the instruction set nor on the threads.

#include <cstddef>
#include <cstdint>

#include "base/element_type.h"
#include "kernels/unpack.h"

// The parts of a kernel keep their values in registers only when they are put together in one function.
#define EXO_INLINE inline __attribute__((always_inline))

namespace exo::kernels {

// 256 activations of one row as integers: x = scale[g] * q. Sums serve weights with minimums (scaled) and unsigned
// weight panels (bias: -128 times the sum). Activations of a batch are stored [super-block][row].
struct alignas(64) ActivationBlock {
  float scale[kGroupsPerSuper];
  int32_t bias[kGroupsPerSuper];
  int8_t q[kSuperBlockElements];
  float scaled_sum[kGroupsPerSuper];
  int32_t half_bias[2 * kGroupsPerSuper];
  float scaled_half_sum[2 * kGroupsPerSuper];
};

inline constexpr int kPanelRows = 16;

// Scales and minimums of up to 8 groups of 16 rows. Formats without half-group scales use [g][0] only.
struct alignas(64) RowScales {
  float scale[kGroupsPerSuper][2][kPanelRows];
  float min[kGroupsPerSuper][2][kPanelRows];
};

// 16 weight rows of up to 8 groups, interleaved: byte ((g * 8 + k) * 16 + row) * 4 + i of q is element 32g + 4k + i
// of the row. Signed, or plus 128 for kernels that multiply unsigned by signed; formats with minimums hold [0, 127]
// in either case, but for centred ones.
struct alignas(64) Panel : RowScales {
  uint8_t q[kGroupsPerSuper][8][kPanelRows * 4];
};

// How a format's panels are multiplied.
// kWholeSignedMin: minimums, and q signed or plus 128 like those of kWhole.
enum class PanelKind : uint8_t { kWhole, kWholeMin, kHalf, kHalfMin, kWholeSignedMin };

inline PanelKind panel_kind(ElementType type) {
  if (has_centred_minimums(type)) return PanelKind::kWholeSignedMin;
  if (has_half_group_scales(type)) return has_minimums(type) ? PanelKind::kHalfMin : PanelKind::kHalf;
  return has_minimums(type) ? PanelKind::kWholeMin : PanelKind::kWhole;
}

// 16 rows to be packed: row r starts at base + r * stride.
struct PanelRows {
  const std::byte* base;
  int64_t stride;
  const std::byte* row(int r) const { return base + r * stride; }
};

// Float weights are multiplied in panels of 16 rows too, element k of row r at k * 16 + r:
//
//   y = 0;  for each kFloatChain columns, in order:  a = 0;  for each of them:  a = fma(w, x, a);  y = y + a
//
// Instruction sets without fused multiply-add round the product first.
inline constexpr int kFloatChain = 64;
inline constexpr int kFloatPiece = 256;  // columns of a panel at most
inline constexpr int kFloatPanels = 4;   // that are multiplied together at most

// Memory that will be read soon is asked for in step with the computation: it then arrives as one stream and delays
// nothing. A core has few places for what is on its way to its first-level cache, too few for the bandwidth of the
// memory; so what is read a little later comes to the second level first.
enum class CacheLevel { kFirst = 3, kSecond = 2 };  // as __builtin_prefetch has them

// `bytes` from `from` on, the same number of lines with each of `steps` steps. (All of it inlined: compilers take a
// function that only asks for memory for one without effect, and leave out its calls.)
template <CacheLevel kLevel>
class AskedLines {
 public:
  AskedLines(const std::byte* from, int64_t bytes, int64_t steps)
      : at_(from), end_(from + bytes), per_step_((bytes + 64 * steps - 1) / (64 * steps)) {}
  EXO_INLINE void step() {
    for (int64_t line = 0; line < per_step_ && at_ < end_; ++line) {
      __builtin_prefetch(at_, 0, static_cast<int>(kLevel));
      at_ += 64;
    }
  }

 private:
  const std::byte* at_;
  const std::byte* end_;
  int64_t per_step_;
};

// Memory for the panels that are packed next, `bytes` of each of `rows` rows.
struct Ahead {
  const std::byte* from = nullptr;
  int64_t bytes = 0;
  int64_t rows = 1, stride = 0;

  // What belongs to steps [i, j) of `n`.
  Ahead part(int64_t i, int64_t j, int64_t n) const {
    if (rows > 1) {
      const int64_t begin = i * rows / n;
      return {from + begin * stride, bytes, j * rows / n - begin, stride};
    }
    const int64_t begin = i * bytes / n;
    return {from + begin, j * bytes / n - begin};
  }
  // Parts of a row with each of `steps` steps; pieces of several rows are few lines, asked for at once.
  EXO_INLINE AskedLines<CacheLevel::kSecond> ask(int64_t steps) const {
    if (rows == 1) return {from, bytes, steps};
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t at = 0; at < bytes + 63; at += 64) {
        __builtin_prefetch(from + r * stride + at, 0, static_cast<int>(CacheLevel::kSecond));
      }
    }
    return {nullptr, 0, 1};
  }
};

// What products straight from rows ask for while they compute: `near_bytes` for the first level, or where these are
// none the next piece of each of the rows themselves, and `far_bytes` for the second.
struct RowsAhead {
  const std::byte* near = nullptr;
  int64_t near_bytes = 0;
  const std::byte* far = nullptr;
  int64_t far_bytes = 0;
};

// 16 rows of quantised weights, to be multiplied as they lie in memory.
struct RowsProduct {
  PanelRows rows;
  int64_t groups = 0;                  // of each row
  const ActivationBlock* x = nullptr;  // block s of column c at s * x_stride + c
  int64_t x_stride = 0, n_columns = 0;
  float* y = nullptr;  // [n_columns, 16], y_stride from column to column
  int64_t y_stride = 0;
  RowsAhead ahead;
};

}  // namespace exo::kernels
