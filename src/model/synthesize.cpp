#include "model/synthesize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>
#include <string_view>
#include <vector>

#include "formats/gguf_writer.h"
#include "model/random_blocks.h"
#include "model/synthetic_vocabulary.h"

namespace exo::model {
namespace {

using formats::GgufWriter;

constexpr int32_t kMaxLayers = 4096;

struct Shape {
  std::string_view name;
  int32_t d_model, n_layers, n_heads, n_kv_heads, d_ff, n_vocab, context_length;
  double rope_factor = 0.0;  // of Llama 3.1's frequency scaling; 0: none
  bool tied = false;
  int32_t n_experts = 0, n_chosen = 0;  // each expert d_ff wide; 0: a dense model
  std::string_view architecture = "llama";
  int32_t wide_head = 0;  // dimensions of a head where they are not d_model / n_heads
  bool qk_norm = false;
  // Multi-head latent attention: a head's key has plain_dim + rope_dim dimensions, its value plain_dim; the cache
  // holds latent_rank + rope_dim numbers. 0: ordinary attention.
  int32_t latent_rank = 0, plain_dim = 0, rope_dim = 0;
  int32_t n_dense_layers = 0, dense_ff = 0;  // of a mixture of experts, the first layers: without experts
  int32_t n_shared = 0;                      // experts that every token uses
  int32_t head_dim() const { return wide_head > 0 ? wide_head : d_model / n_heads; }
};

// From the models' published config.json; "tiny" is for tests.
constexpr Shape kShapes[] = {
    {"tiny", 256, 4, 8, 4, 512, 512, 4096},
    {.name = "tiny-moe",
     .d_model = 256,
     .n_layers = 4,
     .n_heads = 8,
     .n_kv_heads = 4,
     .d_ff = 256,
     .n_vocab = 512,
     .context_length = 4096,
     .n_experts = 8,
     .n_chosen = 2},
    {.name = "tiny-latent",
     .d_model = 256,
     .n_layers = 4,
     .n_heads = 4,
     .n_kv_heads = 1,
     .d_ff = 96,
     .n_vocab = 512,
     .context_length = 4096,
     .n_experts = 8,
     .n_chosen = 2,
     .architecture = "deepseek2",
     .latent_rank = 64,
     .plain_dim = 32,
     .rope_dim = 16,
     .n_dense_layers = 1,
     .dense_ff = 512,
     .n_shared = 1},
    {"llama-3.2-1b", 2048, 16, 32, 8, 8192, 128256, 131072, 32.0, true},
    {"llama-3-8b", 4096, 32, 32, 8, 14336, 128256, 8192},
    {"llama-3.1-70b", 8192, 80, 64, 8, 28672, 128256, 131072, 8.0},
    {"llama-3.1-405b", 16384, 126, 128, 8, 53248, 128256, 131072, 8.0},
    {.name = "mixtral-8x7b",
     .d_model = 4096,
     .n_layers = 32,
     .n_heads = 32,
     .n_kv_heads = 8,
     .d_ff = 14336,
     .n_vocab = 32000,
     .context_length = 32768,
     .n_experts = 8,
     .n_chosen = 2},
    {.name = "qwen3-30b-a3b",
     .d_model = 2048,
     .n_layers = 48,
     .n_heads = 32,
     .n_kv_heads = 4,
     .d_ff = 768,
     .n_vocab = 151936,
     .context_length = 40960,
     .n_experts = 128,
     .n_chosen = 8,
     .architecture = "qwen3moe",
     .wide_head = 128,
     .qk_norm = true},
    {.name = "deepseek-v2-lite",
     .d_model = 2048,
     .n_layers = 27,
     .n_heads = 16,
     .n_kv_heads = 1,
     .d_ff = 1408,
     .n_vocab = 102400,
     .context_length = 32768,
     .n_experts = 64,
     .n_chosen = 6,
     .architecture = "deepseek2",
     .latent_rank = 512,
     .plain_dim = 128,
     .rope_dim = 64,
     .n_dense_layers = 1,
     .dense_ff = 10944,
     .n_shared = 2},
};
constexpr double kRopeTheta = 500000.0;
constexpr std::string_view kRopeFactors = "rope_freqs.weight";

Result<Shape> shape_of(const SynthOptions& options) {
  const auto* it = std::ranges::find(kShapes, std::string_view(options.shape), &Shape::name);
  if (it == std::end(kShapes)) {
    return fail(ErrorCode::kInvalidArgument, "no shape '{}'; there are {}", options.shape, synth_shapes());
  }
  Shape shape = *it;
  if (options.n_layers < 0 || options.n_layers > kMaxLayers) {
    return fail(ErrorCode::kInvalidArgument, "{} layers; 1…{} are possible", options.n_layers, kMaxLayers);
  }
  if (options.n_layers > 0) shape.n_layers = options.n_layers;
  if (!can_randomize(options.type)) {
    return fail(ErrorCode::kInvalidArgument,
                "no random weights in {}; choose F32, F16, BF16, Q4_0, Q8_0, Q4_K or Q6_K",
                info(options.type).name);
  }
  return shape;
}

void put_metadata(GgufWriter& writer, const Shape& shape) {
  const auto put = [&](std::string_view key, int32_t value) {
    writer.set(fmt::format("{}.{}", shape.architecture, key), static_cast<uint32_t>(value));
  };
  writer.set("general.architecture", std::string(shape.architecture));
  writer.set("general.name", fmt::format("{} shape, random weights", shape.name));
  put("block_count", shape.n_layers);
  put("context_length", shape.context_length);
  put("embedding_length", shape.d_model);
  put("feed_forward_length", shape.n_dense_layers > 0 ? shape.dense_ff : shape.d_ff);
  put("attention.head_count", shape.n_heads);
  put("attention.head_count_kv", shape.n_kv_heads);
  put("vocab_size", shape.n_vocab);
  if (shape.latent_rank > 0) {
    put("attention.kv_lora_rank", shape.latent_rank);
    put("attention.key_length", shape.latent_rank + shape.rope_dim);
    put("attention.value_length", shape.latent_rank);
    put("attention.key_length_mla", shape.plain_dim + shape.rope_dim);
    put("attention.value_length_mla", shape.plain_dim);
    put("rope.dimension_count", shape.rope_dim);
  } else {
    put("attention.key_length", shape.head_dim());
    put("attention.value_length", shape.head_dim());
    put("rope.dimension_count", shape.head_dim());
  }
  if (shape.n_experts > 0) {
    put("expert_count", shape.n_experts);
    put("expert_used_count", shape.n_chosen);
    put("expert_feed_forward_length", shape.d_ff);
  }
  if (shape.n_dense_layers > 0) put("leading_dense_block_count", shape.n_dense_layers);
  if (shape.n_shared > 0) put("expert_shared_count", shape.n_shared);
  writer.set(fmt::format("{}.rope.freq_base", shape.architecture), static_cast<float>(kRopeTheta));
  writer.set(fmt::format("{}.attention.layer_norm_rms_epsilon", shape.architecture), 1e-5f);
}

// Adds the tensors of one layer: add("attn_q", type, {columns, rows}).
template <typename Add>
void add_attention(const Shape& shape, ElementType type, const Add& add) {
  const int64_t d = shape.d_model, heads = shape.n_heads;
  if (shape.latent_rank > 0) {
    add("attn_q", type, {d, heads * (shape.plain_dim + shape.rope_dim)});
    add("attn_kv_a_mqa", type, {d, shape.latent_rank + shape.rope_dim});
    add("attn_kv_a_norm", ElementType::kF32, {shape.latent_rank});
    add("attn_k_b", type, {shape.plain_dim, shape.latent_rank, heads});
    add("attn_v_b", type, {shape.latent_rank, shape.plain_dim, heads});
    add("attn_output", type, {heads * shape.plain_dim, d});
    return;
  }
  const int64_t q = heads * shape.head_dim(), kv = int64_t{shape.n_kv_heads} * shape.head_dim();
  add("attn_q", type, {d, q});
  add("attn_k", type, {d, kv});
  add("attn_v", type, {d, kv});
  add("attn_output", type, {q, d});
  if (shape.qk_norm) {
    add("attn_q_norm", ElementType::kF32, {shape.head_dim()});
    add("attn_k_norm", ElementType::kF32, {shape.head_dim()});
  }
}

template <typename Add>
void add_feed_forward(const Shape& shape, ElementType type, int32_t layer, const Add& add) {
  const int64_t d = shape.d_model;
  const auto add_three = [&](const char* gate, const char* up, const char* down, int64_t width) {
    add(gate, type, {d, width});
    add(up, type, {d, width});
    add(down, type, {width, d});
  };
  if (shape.n_experts == 0) return add_three("ffn_gate", "ffn_up", "ffn_down", shape.d_ff);
  if (layer < shape.n_dense_layers) return add_three("ffn_gate", "ffn_up", "ffn_down", shape.dense_ff);
  add("ffn_gate_inp", ElementType::kF32, {d, shape.n_experts});
  add("ffn_gate_exps", type, {d, shape.d_ff, shape.n_experts});
  add("ffn_up_exps", type, {d, shape.d_ff, shape.n_experts});
  add("ffn_down_exps", type, {shape.d_ff, d, shape.n_experts});
  if (shape.n_shared > 0)
    add_three("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp", int64_t{shape.n_shared} * shape.d_ff);
}

void add_tensors(GgufWriter& writer, const Shape& shape, ElementType type) {
  const bool four_bits = type == ElementType::kQ4_0 || type == ElementType::kQ4_K;
  const ElementType head_type = four_bits ? ElementType::kQ6_K : type;
  const int64_t d = shape.d_model;
  if (shape.rope_factor > 0.0)
    writer.add_tensor(std::string(kRopeFactors), ElementType::kF32, {shape.head_dim() / 2});
  writer.add_tensor("token_embd.weight", shape.tied ? head_type : type, {d, shape.n_vocab});
  for (int32_t i = 0; i < shape.n_layers; ++i) {
    const auto add = [&](const char* part, ElementType part_type, std::vector<int64_t> extents) {
      if (extents[0] % info(part_type).block_elements != 0)
        part_type = ElementType::kQ8_0;  // as in published files
      writer.add_tensor(fmt::format("blk.{}.{}.weight", i, part), part_type, std::move(extents));
    };
    add("attn_norm", ElementType::kF32, {d});
    add_attention(shape, type, add);
    add("ffn_norm", ElementType::kF32, {d});
    add_feed_forward(shape, type, i, add);
  }
  writer.add_tensor("output_norm.weight", ElementType::kF32, {d});
  if (!shape.tied) writer.add_tensor("output.weight", head_type, {d, shape.n_vocab});
}

Result<GgufWriter> plan(const SynthOptions& options) {
  EXO_TRY(const auto shape, shape_of(options));
  GgufWriter writer;
  put_metadata(writer, shape);
  put_synthetic_vocabulary(writer, shape.n_vocab);
  add_tensors(writer, shape, options.type);
  return writer;
}

// What divides the frequency of pair i in Llama 3.1: nothing for short waves, `factor` for long ones, between in
// between.
float rope_factor(const Shape& shape, int32_t pair) {
  constexpr double kOriginalContext = 8192.0, kLowFrequency = 1.0, kHighFrequency = 4.0;
  const double wave = 2.0 * std::numbers::pi * std::pow(kRopeTheta, 2.0 * pair / shape.head_dim());
  if (wave < kOriginalContext / kHighFrequency) return 1.0f;
  if (wave > kOriginalContext / kLowFrequency) return static_cast<float>(shape.rope_factor);
  const double smooth = (kOriginalContext / wave - kLowFrequency) / (kHighFrequency - kLowFrequency);
  return static_cast<float>(1.0 / ((1.0 - smooth) / shape.rope_factor + smooth));
}

void fill_vector(const Shape& shape, const GgufWriter::Tensor& tensor, uint64_t offset,
                 std::span<std::byte> piece) {
  for (size_t i = 0; i < piece.size() / sizeof(float); ++i) {
    const auto index = static_cast<int32_t>(offset / sizeof(float) + i);
    const float value = tensor.name == kRopeFactors ? rope_factor(shape, index) : 1.0f;
    std::memcpy(piece.data() + i * sizeof value, &value, sizeof value);
  }
}

// FNV-1a, so that each tensor's numbers depend on its name and not on the order of tensors.
uint64_t hash(std::string_view text) {
  uint64_t h = 14695981039346656037ull;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return h;
}

}  // namespace

std::string synth_shapes() {
  std::string names;
  for (const auto& shape : kShapes) {
    if (!names.empty()) names += ", ";
    names += shape.name;
  }
  return names;
}

Result<uint64_t> synthesized_bytes(const SynthOptions& options) {
  EXO_TRY(const auto writer, plan(options));
  return writer.file_bytes();
}

Status synthesize(const SynthOptions& options, const std::filesystem::path& path, const SynthProgress& progress) {
  EXO_TRY(const auto shape, shape_of(options));
  EXO_TRY(const auto writer, plan(options));
  const uint64_t total = writer.file_bytes();
  uint64_t done = 0;
  return writer.write(path,
                      [&](const GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) -> Status {
                        if (tensor.shape.size() == 1) {
                          fill_vector(shape, tensor, offset, piece);
                        } else {
                          const double deviation = 1.0 / std::sqrt(static_cast<double>(tensor.shape[0]));
                          fill_random(tensor.type, deviation,
                                      options.seed ^ hash(tensor.name) ^ (offset * 0x9E3779B97F4A7C15ull), piece);
                        }
                        done += piece.size();
                        if (progress && !progress(done, total))
                          return fail(ErrorCode::kCancelled, "writing was cancelled");
                        return {};
                      });
}

}  // namespace exo::model
