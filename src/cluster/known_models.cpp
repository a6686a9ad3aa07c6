#include "cluster/known_models.h"

#include <algorithm>
#include <vector>

#include "base/element_type.h"

namespace exo::cluster {
namespace {

// Widths of DeepSeek's latent attention; rank 0: none.
struct Latent {
  int32_t query_rank = 0, rank = 0, plain_dim = 0, rope_dim = 0, value_dim = 0;
};

struct Shape {
  std::string_view name, architecture;
  int32_t n_layers, d_model, n_heads, n_kv_heads, head_dim, d_ff, n_vocab, context_length;
  bool tied = false;
  int32_t n_experts = 0, n_experts_used = 0, d_expert = 0, n_shared_experts = 0, n_dense_layers = 0;
  Latent latent = {};
};

constexpr Shape kShapes[] = {
    {"llama-3.2-1b", "llama", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true},
    {"llama-3.2-3b", "llama", 28, 3072, 24, 8, 128, 8192, 128256, 131072, true},
    {"llama-3-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 8192},
    {"llama-3.1-8b", "llama", 32, 4096, 32, 8, 128, 14336, 128256, 131072},
    {"llama-3.1-70b", "llama", 80, 8192, 64, 8, 128, 28672, 128256, 131072},
    {"llama-3.3-70b", "llama", 80, 8192, 64, 8, 128, 28672, 128256, 131072},
    {"llama-3.1-405b", "llama", 126, 16384, 128, 8, 128, 53248, 128256, 131072},
    {"qwen3-235b-a22b", "qwen3moe", 94, 4096, 64, 4, 128, 0, 151936, 40960, false, 128, 8, 1536},
    {"gpt-oss-120b", "gpt-oss", 36, 2880, 64, 8, 64, 0, 201088, 131072, false, 128, 4, 2880},
    {"deepseek-v3",
     "deepseek2",
     61,
     7168,
     128,
     128,
     128,
     18432,
     129280,
     163840,
     false,
     256,
     8,
     2048,
     1,
     3,
     {1536, 512, 128, 64, 128}},
};

uint64_t matrix_bytes(ElementType type, int64_t rows, int64_t columns) {
  const auto row = row_bytes(type, static_cast<uint64_t>(columns));
  const uint64_t bytes = row ? *row : row_bytes(ElementType::kQ8_0, static_cast<uint64_t>(columns)).value_or(0);
  return bytes * static_cast<uint64_t>(rows);
}

uint64_t attention_bytes(const Shape& shape, ElementType type) {
  const int64_t d = shape.d_model, heads = shape.n_heads;
  if (shape.latent.rank > 0) {
    const Latent& l = shape.latent;
    return matrix_bytes(type, l.query_rank, d) +
           matrix_bytes(type, heads * (l.plain_dim + l.rope_dim), l.query_rank) +
           matrix_bytes(type, l.rank + l.rope_dim, d) + matrix_bytes(type, heads * l.rank, l.plain_dim) +
           matrix_bytes(type, heads * l.value_dim, l.rank) + matrix_bytes(type, d, heads * l.value_dim);
  }
  const int64_t queries = heads * shape.head_dim, keys = int64_t{shape.n_kv_heads} * shape.head_dim;
  return matrix_bytes(type, queries, d) + 2 * matrix_bytes(type, keys, d) + matrix_bytes(type, d, queries);
}

uint64_t gated_bytes(ElementType type, int64_t d, int64_t d_ff) {
  return 2 * matrix_bytes(type, d_ff, d) + matrix_bytes(type, d, d_ff);
}

void add_layers(const Shape& shape, ElementType type, wire::ModelFacts& facts) {
  const int64_t d = shape.d_model;
  const uint64_t norms = static_cast<uint64_t>(2 * d) * sizeof(float);
  const uint64_t cached = shape.latent.rank > 0 ? static_cast<uint64_t>(shape.latent.rank + shape.latent.rope_dim)
                                                : static_cast<uint64_t>(2 * shape.n_kv_heads * shape.head_dim);
  for (int32_t i = 0; i < shape.n_layers; ++i) {
    uint64_t bytes = norms + attention_bytes(shape, type), experts = 0;
    if (shape.n_experts > 0 && i >= shape.n_dense_layers) {
      experts = static_cast<uint64_t>(shape.n_experts) * gated_bytes(type, d, shape.d_expert);
      bytes += experts + static_cast<uint64_t>(shape.n_shared_experts) * gated_bytes(type, d, shape.d_expert) +
               matrix_bytes(ElementType::kF32, shape.n_experts, d);
    } else {
      bytes += gated_bytes(type, d, shape.d_ff);
    }
    facts.layer_bytes.push_back(bytes);
    if (shape.n_experts > 0) facts.expert_bytes.push_back(experts);
    facts.kv_bytes_per_position.push_back(cached * 2);  // F16
  }
}

wire::ModelFacts facts_of(const Shape& shape, ElementType type) {
  const bool four_bits = type == ElementType::kQ4_0 || type == ElementType::kQ4_K;
  const ElementType head_type = four_bits ? ElementType::kQ6_K : type;
  wire::ModelFacts facts;
  facts.name = fmt::format("{}@{}", shape.name, info(type).name);
  facts.fingerprint = std::string(64, '0');
  facts.architecture = shape.architecture;
  facts.weight_type = info(type).name;
  facts.n_layers = shape.n_layers;
  facts.d_model = shape.d_model;
  facts.n_vocab = shape.n_vocab;
  facts.context_length = shape.context_length;
  facts.n_experts = shape.n_experts;
  facts.n_experts_used = shape.n_experts_used;
  const Latent& latent = shape.latent;
  facts.attention_width =
      latent.rank > 0 ? shape.n_heads * (2 * latent.rank + latent.rope_dim) / 2 : shape.n_heads * shape.head_dim;
  facts.tensor_parallel_parts = latent.rank > 0 ? shape.n_heads : shape.n_kv_heads;
  facts.kv_whole_in_groups = latent.rank > 0;
  facts.feed_forward_width = std::max(shape.d_ff, (shape.n_experts_used + shape.n_shared_experts) * shape.d_expert);
  facts.exchanges_norms = shape.n_experts == 0 && latent.rank == 0;
  add_layers(shape, type, facts);
  const uint64_t head = matrix_bytes(head_type, shape.n_vocab, shape.d_model);
  facts.embedding_bytes = shape.tied ? head : matrix_bytes(type, shape.n_vocab, shape.d_model);
  facts.head_bytes = head + static_cast<uint64_t>(shape.d_model) * sizeof(float);
  facts.file_bytes = facts.embedding_bytes + (shape.tied ? 0 : head);
  wire::FormatBytes layers{facts.weight_type, 0, 0, 0};
  for (const uint64_t bytes : facts.layer_bytes) layers.layer_bytes += bytes;
  for (const uint64_t bytes : facts.expert_bytes) layers.expert_bytes += bytes;
  facts.file_bytes += layers.layer_bytes;
  facts.formats = {layers, {std::string(info(head_type).name), 0, 0, facts.head_bytes}};
  return facts;
}

}  // namespace

Result<wire::ModelFacts> known_model(std::string_view name_at_format) {
  const size_t at = name_at_format.find('@');
  const std::string_view name = name_at_format.substr(0, at);
  const std::string_view format = at == std::string_view::npos ? "Q4_K" : name_at_format.substr(at + 1);
  const auto* shape = std::find_if(std::begin(kShapes), std::end(kShapes), [&](auto& s) { return s.name == name; });
  if (shape == std::end(kShapes)) {
    return fail(ErrorCode::kInvalidArgument, "no known model '{}'; there are: {}", name, known_model_names());
  }
  const auto* type = find_element_type(format);
  if (type == nullptr) return fail(ErrorCode::kInvalidArgument, "'{}' is no number format", format);
  return facts_of(*shape, type->type);
}

std::string known_model_names() {
  std::vector<std::string_view> names;
  for (const Shape& shape : kShapes) names.push_back(shape.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace exo::cluster
