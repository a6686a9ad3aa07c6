#pragma once
// The inner loops, once per instruction set of the build. A device picks best_kernels() when it is made; tests take
// each of all_kernels() in turn.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/element_type.h"
#include "kernels/panel.h"

namespace exo::kernels {

// Elementwise functions of one variable. Largest errors against exact arithmetic are in vector_math_test.cpp.
// kClampedSwish is gpt-oss's: x * sigmoid(1.702 x) of x up to 7; as a gate it multiplies `up` limited to ±7,
// plus 1.
enum class Function : uint8_t { kSilu, kGeluTanh, kGeluErf, kRelu, kReluSquared, kClampedSwish, kSigmoid };

// Scores and values of attention are handled in chunks of this many positions, at multiples of it.
inline constexpr int kAttentionChunk = 32;

inline constexpr int64_t kNormColumns = 256;

inline constexpr int kStraightFloatColumns = 4;
struct ChunkRange {  // of positions within a chunk; empty: begin ≥ end
  int32_t begin = 0, end = kAttentionChunk;
};

// What one position brings to a head's state of the gated delta rule.
struct DeltaStep {
  const float* key = nullptr;    // [dim]
  const float* query = nullptr;  // [dim]
  int64_t dim = 0;
  float decay = 1.0f, beta = 0.0f;
};

struct KernelTable {
  std::string_view name;  // "AVX3_DL+VNNI512"

  // Integer products (panel.h).
  // Groups [first, first + count) of the 16 rows, count ≤ 8; `first` is a multiple of 8. Asks for `ahead`
  // meanwhile.
  void (*pack)(ElementType type, const PanelRows& rows, int64_t first, int64_t count, const Ahead& ahead,
               Panel& out);
  // x[0, n): n activations of a row; block i goes to out[i * block_stride]. The last block is filled with zeros.
  void (*quantize_activations)(const float* x, int64_t n, ActivationBlock* out, int64_t block_stride);
  // The block of n ≤ 8 groups that were quantised elsewhere: groups[g] is the largest magnitude (f32), then 32
  // integers. The rest of it is filled with zeros.
  void (*restore_activations)(const std::byte* const* groups, int n, ActivationBlock& out);
  // y[c * y_stride + r] continues the sums over `groups` groups for rows [0, 16 * n_panels) and x[0, n_columns).
  // n_panels is 1 or 2. Asks for `ahead` meanwhile.
  void (*multiply)(PanelKind kind, const Panel* panels, int n_panels, int groups, const ActivationBlock* x,
                   int64_t n_columns, const Ahead& ahead, float* y, int64_t y_stride);

  // pack and multiply in one, without a panel in between: y continues the sums over a row's groups. Faster up to
  // straight_columns(type) columns, 0 where multiply_rows does not know the format or is null. Returns how many
  // groups it did, from the first on: with more than one column whole super-blocks only; none of an unknown format.
  int (*straight_columns)(ElementType type);
  int64_t (*multiply_rows)(ElementType type, const RowsProduct& product);

  // Float products (panel.h): columns [first, first + count) of 16 rows of F32, F16 or BF16, count ≤ kFloatPiece.
  void (*pack_floats)(ElementType type, const PanelRows& rows, const Ahead& ahead, int64_t first, int64_t count,
                      float* panel);
  // y[c * y_stride + 16p + r] continues the sums of rows of n_panels panels, which are kFloatPiece * 16 floats
  // apart; x[c * x_stride + k] belongs to the panels' column k. All panels but the last of a row have a multiple of
  // kFloatChain columns.
  void (*multiply_floats)(const float* panels, int n_panels, int64_t count, const float* x, int64_t x_stride,
                          int64_t n_columns, float* y, int64_t y_stride);
  // pack_floats and multiply_floats in one, without a panel in between, for up to kStraightFloatColumns columns and
  // a count that is a multiple of kFloatChain; false, and nothing is done, for others.
  bool (*multiply_float_rows)(ElementType type, const PanelRows& rows, const RowsAhead& ahead, int64_t first,
                              int64_t count, const float* x, int64_t x_stride, int64_t n_columns, float* y,
                              int64_t y_stride);
  // F32, F16, BF16 or Q8_0 → f32.
  void (*widen)(ElementType type, const std::byte* from, float* to, int64_t n);
  void (*narrow_f16)(const float* from, uint16_t* to, int64_t n);

  // Rows of activations.
  void (*rms_norm)(const float* x, const float* weight, float eps, float* out, int64_t n);  // weight may be null
  // Its halves, of rows whose columns lie apart. sums[i] = Σ x² of kNormColumns columns, the last fewer; rms_norm
  // adds them in order, and divides the sum by the row's columns for `mean`.
  void (*sum_squares)(const float* x, int64_t n, float* sums);
  void (*rms_scale)(const float* x, const float* weight, float mean, float eps, float* out, int64_t n);
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float* out, int64_t n);
  void (*apply)(Function function, float* x, int64_t n);
  void (*gate)(Function function, const float* gate, const float* up, float* out, int64_t n);  // f(gate) * up
  void (*add)(float* x, const float* y, int64_t n);
  void (*scale)(float* x, float factor, int64_t n);
  void (*soft_cap)(float* x, float cap, int64_t n);
  // Rotates one head's `dims` leading elements; cos_sin: dims/2 cosines, then dims/2 sines.
  void (*rotate)(float* head, const float* cos_sin, int32_t dims, bool interleaved);

  // Attention over one chunk of 32 positions; strides and the values' dim are multiples of 16 (padded with zeros).
  // kt[i * 32 + j] = element i < dim of keys[j], 32 vectors of `type`. Asks for the vectors of `next`, which
  // follow, where it is not null. False for a format or a dim that it does not know: F32 with a multiple of 16 is
  // known.
  bool (*transpose_keys)(ElementType type, const std::byte* const* keys, const std::byte* const* next, int64_t dim,
                         float* kt);
  // s[r * 32 + j] = Σ_i q[r][i] * kt[i * 32 + j], i in order
  void (*scores)(const float* q, int64_t q_stride, int rows, const float* kt, int64_t dim, float* s);
  // Rows of 32 scores, of which those in ranges[r] are attended to: become exp(score - new maximum), 0 elsewhere.
  // maximum[r] and total[r], the sum, go on; factor[r] is what the row's earlier values are to be multiplied by.
  void (*softmax_rows)(float* s, int rows, const ChunkRange* ranges, float* maximum, float* total, float* factor);
  // o[r] = o[r] * factor[r] + Σ_j p[r * 32 + j] * v[j], j in order
  void (*mix_values)(const float* p, const float* factor, int rows, const float* v, int64_t v_stride, int n,
                     int64_t dim, float* o, int64_t o_stride);
  // The same of values as the cache holds them, for few rows. Asks for those of `next` where it is not null. False
  // where values must be widened first.
  bool (*mix_stored)(ElementType type, const float* p, const float* factor, int rows, const std::byte* const* v,
                     const std::byte* const* next, int n, int64_t dim, float* o, int64_t o_stride);

  // Gated delta rule. For rows s of the state, [n_rows, dim] dense: s *= decay; s += beta * (values[r] - s · key) *
  // key; out[r] = s · query. Per row the order of summation depends on dim only.
  void (*delta_step)(float* state, const DeltaStep& step, const float* values, int64_t n_rows, float* out);
};

std::span<const KernelTable> all_kernels();  // those that this machine runs, fastest first; one is portable C++
inline const KernelTable& best_kernels() { return all_kernels().front(); }

// The definition of pack, in plain code; `bias` is 128 for unsigned panels.
void pack_reference(ElementType type, const PanelRows& rows, int64_t first, int64_t count, uint8_t bias,
                    Panel& out);

}  // namespace exo::kernels
