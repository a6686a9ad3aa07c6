#pragma once
// The operations that models are written in. One interface, one folder per device (cpu/; later cuda/, ggml/).
//
// Calls are immediate from the caller's view: what an operation reads was written by the calls before it. A device
// may queue them; read() waits. One Ops belongs to one engine thread; calls are not thread-safe.
// Shapes are the caller's responsibility (the model checks its file once, at load); debug builds check them again.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/element_type.h"
#include "base/ids.h"
#include "base/result.h"

namespace exo::ops {

// Memory of the device, 64-byte aligned, zeroed; freed with its owner.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual std::byte* data() = 0;  // a device address: only operations dereference it
  virtual size_t bytes() const = 0;
};

// f32 activations [rows, cols] in device memory, row-major, `stride` floats from row to row. A view: owns nothing.
struct Tensor {
  float* data = nullptr;
  int64_t rows = 0, cols = 0, stride = 0;

  Tensor row_range(int64_t begin, int64_t count) const { return {data + begin * stride, count, cols, stride}; }
  Tensor columns(int64_t begin, int64_t count) const { return {data + begin, rows, count, stride}; }
  // [rows, heads * head_dim] seen as [rows * heads, head_dim]; needs stride == cols.
  Tensor heads(int64_t head_dim) const { return {data, rows * (cols / head_dim), head_dim, head_dim}; }
};

// Where a weight's bytes are before the device has them: `n_matrices` (experts; 1 otherwise) matrices of `rows`
// outputs by `cols` inputs, row-major, each row whole blocks of `type`. The bytes outlive the Weight, and so do
// `parts`.
struct WeightSource {
  ElementType type = ElementType::kF32;
  int64_t rows = 0, cols = 0, n_matrices = 1;
  std::span<const std::byte> bytes;                   // of all matrices one after the other, or empty:
  std::span<const std::span<const std::byte>> parts;  // then these are the matrices' bytes one by one
};

// A weight ready for the device: the CPU uses the file's bytes in place.
struct Weight {
  ElementType type = ElementType::kF32;
  int64_t rows = 0, cols = 0, n_matrices = 1;
  const std::byte* data = nullptr;                    // of the first matrix
  std::span<const std::span<const std::byte>> parts;  // where matrices lie apart; otherwise they follow each other
  explicit operator bool() const { return data != nullptr; }
  // Where matrix i begins; i < n_matrices.
  const std::byte* matrix(int64_t i) const {
    if (!parts.empty()) return parts[static_cast<size_t>(i)].data();
    const auto row = row_bytes(type, static_cast<uint64_t>(cols)).value_or(0);
    return data + static_cast<uint64_t>(i * rows) * row;
  }
};

// Small f32 vectors (norm weights, biases, rope factors), converted at load.
struct Vector {
  const float* data = nullptr;
  int64_t size = 0;
  explicit operator bool() const { return data != nullptr; }
};

// Some columns of rows as Ops::pack leaves them.
struct PackedColumns {
  const std::byte* rows = nullptr;  // packed_bytes(cols) each, without gaps
  int64_t cols = 0;                 // a multiple of kPackedColumns
};

// out = x · weightᵀ (+ bias) (+ out when `accumulate`): out [x.rows, weight.rows].
struct Linear {
  const Weight* weight;
  Tensor out;
  Vector bias = {};
  bool accumulate = false;
};

enum class RopeStyle {
  kInterleaved,  // rotates pairs (2i, 2i+1): llama's GGUF files
  kHalves,       // rotates pairs (i, i + dims/2): "neox", Hugging Face's order
};

// Rotary position embedding, Su et al. 2021; YaRN, Peng et al. 2023.
struct RopeParams {
  RopeStyle style = RopeStyle::kInterleaved;
  int32_t first = 0;            // dimensions of each head before the rotated ones
  int32_t dims = 0;             // rotated dimensions of each head; the rest pass
  float theta = 10000.0f;       // frequency of pair i: theta^(-2i/dims)
  float position_scale = 1.0f;  // linear scaling: position * position_scale
  Vector frequency_factors;     // [dims/2], divides the frequency of pair i (llama3, longrope); may be empty
  float yarn_ext_factor = 0.0f, yarn_beta_fast = 32.0f, yarn_beta_slow = 1.0f;  // ext_factor 0: no YaRN
  int32_t yarn_original_context = 0;
  bool yarn_rounds = true;       // the pairs between which frequencies go over are whole numbers
  float magnitude_scale = 1.0f;  // multiplies cos and sin
};

// One layer's paged cache. Element (block b, head h, slot-in-block p) starts at
// ((b * n_kv_heads + h) * block_positions + p) * dim elements of `type` (F32, F16 or Q8_0).
struct KvCacheView {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  ElementType type = ElementType::kF32;
  int32_t n_blocks = 0;
  int32_t block_positions = 0;
  int32_t n_kv_heads = 0;
  int32_t key_dim = 0, value_dim = 0;
  // A position's value is the first value_dim ≤ key_dim elements of its key: `values` is not used.
  bool values_in_keys = false;
};

// Consecutive rows of a batch that belong to one sequence. Position first + i is in block_table[(first + i) /
// block_positions]; positions before `first` are already in the cache.
struct SequenceRows {
  int64_t first_row = 0;
  int32_t n_rows = 0;
  Position first_position;
  std::span<const BlockId> block_table;
  int32_t slot = 0;  // where layers of fixed-size state keep this sequence's
};

// Memory of a layer that keeps a state of fixed size for each sequence instead of keys and values: that of slot s
// begins at data + s * slot_floats. A sequence whose rows begin at position 0 begins with a state of zeros.
struct StateView {
  float* data = nullptr;
  int64_t slot_floats = 0;
};

// The gated delta rule (Yang et al. 2024). Each head maps keys to values by a matrix S; a position's key k, query q
// (both divided by their length), value v, and numbers a and b change and read it:
//   S *= exp(decay_rate · softplus(a + decay_bias)); S += sigmoid(b) · (v − S k) kᵀ; out = S q / sqrt(key_dim)
struct DeltaRule {
  int32_t n_heads = 0;
  int32_t n_key_heads = 0;  // divides n_heads; query and key of head h are those of
  bool tiled = false;       // key head h / (n_heads / n_key_heads), or h % n_key_heads where tiled
  int32_t key_dim = 0, value_dim = 0;
  float epsilon = 0.0f;  // added to the squares of lengths
  Tensor query, key;     // [rows, n_key_heads * key_dim]
  Tensor value;          // [rows, n_heads * value_dim]
  Tensor a, b;           // [rows, n_heads]
  Vector decay_rate;     // [n_heads], below 0
  Vector decay_bias;     // [n_heads]

  int64_t state_floats() const { return int64_t{n_heads} * value_dim * key_dim; }
};

struct AttentionParams {
  int32_t n_heads = 0;  // a multiple of the cache's n_kv_heads: head h reads kv head h / (n_heads / n_kv_heads)
  float scale = 0.0f;   // of q·k
  float logit_soft_cap = 0.0f;  // cap * tanh(logit / cap); 0: none
  int32_t window = 0;           // attends to the last `window` positions, itself included; 0: all
  int32_t chunk = 0;            // attends only within its own chunk of so many positions; 0: all
  Vector sinks;                 // [n_heads] extra logit per head that takes probability but no value; may be empty
};

enum class Activation {
  kSilu,
  kGeluTanh,
  kGeluErf,
  kRelu,
  kReluSquared,
  kSigmoid,
  kClampedSwish,  // gpt-oss's: gate' = min(gate, 7), up' = up within ±7: gate' * sigmoid(1.702 gate') * (up' + 1)
};

// A mixture of experts (Shazeer et al. 2017): a router scores all experts for each row, and the row's result is the
// weighted sum of what the few best make of it.
enum class ExpertScore {
  kSoftmax,          // over all experts
  kSigmoid,          // each expert by itself
  kSoftmaxOfChosen,  // experts are chosen by their logits; softmax over the chosen ones' only
  // By their logits; each one's softmax among those not chosen before it whose logits are within 2 % of its own
  // (SparseMixer, Liu et al. 2023, as Phi-3.5-MoE infers with it).
  kSoftmaxOfNear,
};

struct RoutingParams {
  ExpertScore score = ExpertScore::kSoftmax;
  // [n_experts] added to the scores for the choice, but not to the weights (Wang et al. 2024); may be empty.
  Vector selection_bias;
  // Experts lie in n_groups equal groups and are chosen from the best n_groups_chosen (DeepSeek-V2, 2024). A group
  // is as good as its best expert, or as its two best together (DeepSeek-V3).
  int32_t n_groups = 1, n_groups_chosen = 1;
  bool groups_by_best_two = false;
  bool normalize = false;  // weights of a row are divided by their sum
  float scale = 1.0f;      // multiplies the weights, last
};

// The chosen experts of each row, best first (of equals the lower number first), in device memory.
struct Routing {
  int32_t* experts = nullptr;  // [rows, n_chosen]
  float* weights = nullptr;    // [rows, n_chosen]
  int64_t rows = 0;
  int32_t n_chosen = 0;

  int64_t n_pairs() const { return rows * n_chosen; }  // of a row and one of its experts
};

// For each pair p of a row and a chosen expert e: out.row(p) = x.row · weight[e]ᵀ (+ bias[e]).
struct ExpertLinear {
  const Weight* weight;  // n_matrices experts
  Tensor out;            // [n_pairs, weight.rows]
  Vector bias = {};      // [n_matrices * weight.rows] or empty
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual std::string description() const = 0;  // for people: "CPU, AVX-512 VNNI, 2 threads"

  // Memory. kResourceExhausted says how many bytes were asked for.
  virtual Result<std::unique_ptr<Buffer>> allocate(size_t bytes) = 0;
  // kUnsupported names a number format that the device cannot multiply with.
  virtual Result<Weight> load(const WeightSource& source) = 0;
  virtual void write(Tensor to, const float* from) = 0;  // from: [to.rows, to.cols], dense
  virtual void read(Tensor from, float* to) = 0;         // to: dense; waits for all queued work
  // Bytes as they lie in a buffer, to and from memory of the host; the latter waits for all queued work.
  virtual void write_bytes(std::span<const std::byte> from, std::byte* to) = 0;
  virtual void read_bytes(const std::byte* from, std::span<std::byte> to) = 0;

  // out[i] = table[tokens[i]], out: [tokens.size(), table.cols]. Tokens are within the table.
  virtual void embed(const Weight& table, std::span<const TokenId> tokens, Tensor out) = 0;
  // Every projection of the same x: [rows, cols]. The device converts x once.
  virtual void matmul(Tensor x, std::span<const Linear> projections) = 0;
  // Each head with its own matrix, n = weight.n_matrices heads: out.row(r * n + h) = x.row(r * n + h) · weight[h]ᵀ;
  // x: [rows * n, weight.cols], out: [rows * n, weight.rows].
  virtual void matmul_heads(Tensor x, const Weight& weight, Tensor out) = 0;

  // y = x / sqrt(mean(x²) + eps) * weight (weight may be empty), per row; out may be x.
  virtual void rms_norm(Tensor x, Vector weight, float eps, Tensor out) = 0;
  // The same of rows whose columns lie apart. sums: [x.rows, x.cols / kNormColumns], Σ x² of so many columns each,
  // of which x.cols is a multiple.
  virtual void sum_squares(Tensor x, float* sums) = 0;
  // x: some columns of rows with those sums, [x.rows, n_sums]; weight: of these columns.
  virtual void rms_norm_columns(Tensor x, Vector weight, float eps, const float* sums, int64_t n_sums,
                                Tensor out) = 0;
  static constexpr int64_t kNormColumns = 256;
  // y = (x − mean) / sqrt(variance + eps) * weight + bias, per row; weight and bias may be empty; out may be x.
  virtual void layer_norm(Tensor x, Vector weight, Vector bias, float eps, Tensor out) = 0;
  // Rotates x: [rows, n_heads * head_dim] in place; positions: [rows].
  virtual void rope(Tensor x, int32_t head_dim, std::span<const Position> positions, const RopeParams& params) = 0;

  // Stores k: [rows, n_kv_heads * key_dim] and v: [rows, n_kv_heads * value_dim] at the sequences' positions; v is
  // not read where the values are in the keys.
  virtual void store_kv(Tensor k, Tensor v, const KvCacheView& cache, std::span<const SequenceRows> sequences) = 0;
  // Causal attention of q: [rows, n_heads * key_dim] over the cache (which already holds the rows' own k and v);
  // out: [rows, n_heads * value_dim]. Softmax in f32, computed online.
  virtual void attention(Tensor q, const KvCacheView& cache, std::span<const SequenceRows> sequences,
                         const AttentionParams& params, Tensor out) = 0;

  // out.row(i)[c] = Σ_t taps[t * cols + c] * x.row(i - (n_taps - 1) + t)[c], over the rows of each sequence and,
  // before its first, those of the steps before, of which the state keeps n_taps - 1: a causal convolution, each
  // channel by itself. out is not x.
  virtual void causal_convolution(Tensor x, Vector taps, int32_t n_taps, const StateView& state,
                                  std::span<const SequenceRows> sequences, Tensor out) = 0;
  // out: [rows, n_heads * value_dim]; the state has rule.state_floats().
  virtual void delta_rule(const DeltaRule& rule, const StateView& state, std::span<const SequenceRows> sequences,
                          Tensor out) = 0;

  // out = activation(gate) * up, elementwise; out may be gate or up.
  virtual void gated_activation(Activation activation, Tensor gate, Tensor up, Tensor out) = 0;
  virtual void activate(Activation activation, Tensor x) = 0;             // in place
  virtual void add(Tensor x, Tensor y) = 0;                               // x += y
  virtual void scale(Tensor x, float factor) = 0;                         // x *= factor
  virtual void scale_rows(Tensor x, std::span<const float> factors) = 0;  // x.row(i) *= factors[i]
  virtual void soft_cap(Tensor x, float cap) = 0;                         // x = cap * tanh(x / cap)
  virtual void copy(Tensor x, Tensor out) = 0;                            // out = x, of the same shape
  virtual void clamp(Tensor x, float limit) = 0;                          // x = x within ±limit
  // x.row(i) *= sigmoid(gate[i]), gate: [x.rows, 1]
  virtual void gate_rows(Tensor x, Tensor gate) = 0;
  // Products with this weight read their x rounded: to integers and a magnitude for each kPackedColumns numbers. So
  // rounded it may as well travel: what unpack makes of packed rows gives such products the bits that x gives.
  virtual bool reads_packed(const Weight& weight) const = 0;
  virtual void pack(Tensor x, std::byte* to) = 0;  // x.rows * packed_bytes(x.cols); finite numbers
  virtual void unpack(const std::byte* from, Tensor x) = 0;
  // matmul of x: [n_rows, any], whose columns lie packed, part after part; every weight reads_packed.
  virtual void matmul_packed(std::span<const PackedColumns> x, int64_t n_rows,
                             std::span<const Linear> projections) = 0;
  static constexpr int64_t kPackedColumns = 32;
  static constexpr int64_t packed_bytes(int64_t cols) {  // cols: a multiple of kPackedColumns
    return cols / kPackedColumns * (kPackedColumns + static_cast<int64_t>(sizeof(float)));
  }
  // out.row(i) = x.row(rows[i])
  virtual void gather_rows(Tensor x, std::span<const int32_t> rows, Tensor out) = 0;

  // Chooses out.n_chosen experts for each row of logits: [out.rows, n_experts]; n_chosen ≤ n_experts of the chosen
  // groups.
  virtual void route(Tensor logits, const RoutingParams& params, const Routing& out) = 0;
  // Every expert projection of the same x: [routing.rows, cols], or [routing.n_pairs, cols] with one row for each
  // pair. Reads the chosen experts only, and each once for all its rows.
  virtual void expert_matmul(Tensor x, const Routing& routing, std::span<const ExpertLinear> projections) = 0;
  // x.row(p) *= the weight of pair p, x: [n_pairs, any]: for models that weight what their experts read.
  virtual void scale_pairs(Tensor x, const Routing& routing) = 0;
  // out.row(r) (+)= Σ over its pairs p, best first, of weight[p] * x.row(p); x: [n_pairs, out.cols]. `weighted`
  // false: of x.row(p) alone.
  virtual void combine_experts(Tensor x, const Routing& routing, bool weighted, Tensor out, bool accumulate) = 0;
};

}  // namespace exo::ops
