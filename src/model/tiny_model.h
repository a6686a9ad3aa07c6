#pragma once
// For tests: a llama of a few kilobytes with random weights, which a test may bend before it is encoded.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "model/random_blocks.h"

namespace exo::model {

struct TinyModel {
  struct Tensor {
    std::string name;
    ElementType type;
    std::vector<int64_t> shape;
  };

  std::string architecture = "llama";
  uint32_t n_layers = 4, d_model, n_heads = 4, n_kv_heads = 2, d_ff = 64, n_vocab = 48;
  float rms_epsilon = 1e-5f;
  std::vector<Tensor> tensors;
  std::vector<std::pair<std::string, uint32_t>> more;  // further metadata, without the architecture's prefix

  explicit TinyModel(uint32_t width = 32) : d_model(width) {
    const int64_t d = d_model, kv = d_model / n_heads * n_kv_heads;
    add("token_embd", {d, n_vocab});
    for (uint32_t i = 0; i < n_layers; ++i) {
      const std::string block = "blk." + std::to_string(i) + ".";
      add(block + "attn_norm", {d});
      add(block + "attn_q", {d, d});
      add(block + "attn_k", {d, kv});
      add(block + "attn_v", {d, kv});
      add(block + "attn_output", {d, d});
      add(block + "ffn_norm", {d});
      add(block + "ffn_gate", {d, d_ff});
      add(block + "ffn_up", {d, d_ff});
      add(block + "ffn_down", {d_ff, d});
    }
    add("output_norm", {d});
    add("output", {d, n_vocab});
  }

  void add(const std::string& part, std::vector<int64_t> shape) {
    tensors.push_back({part + ".weight", ElementType::kF32, std::move(shape)});
  }
  Tensor& tensor(std::string_view name) { return *std::ranges::find(tensors, name, &Tensor::name); }
  void remove(std::string_view name) {
    std::erase_if(tensors, [&](const auto& t) { return t.name == name; });
  }

  // Blocks from `first` on get `n` experts, of which two are chosen, instead of a dense feed-forward.
  void add_experts(uint32_t n, uint32_t first = 0) {
    more = {{"expert_count", n}, {"expert_used_count", 2}};
    const int64_t d = d_model;
    for (uint32_t i = first; i < n_layers; ++i) {
      const std::string block = "blk." + std::to_string(i) + ".";
      for (const char* part : {"ffn_gate", "ffn_up", "ffn_down"}) remove(block + part + ".weight");
      add(block + "ffn_gate_inp", {d, n});
      add(block + "ffn_gate_exps", {d, d_ff / 2, n});
      add(block + "ffn_up_exps", {d, d_ff / 2, n});
      add(block + "ffn_down_exps", {d_ff / 2, d, n});
    }
  }

  std::vector<std::byte> bytes() const {  // of the file
    formats::GgufWriter writer;
    writer.set("general.architecture", architecture);
    const auto set = [&](std::string_view key, uint32_t value) {
      writer.set(fmt::format("{}.{}", architecture, key), value);
    };
    set("block_count", n_layers);
    set("context_length", 256);
    set("embedding_length", d_model);
    set("feed_forward_length", d_ff);
    set("attention.head_count", n_heads);
    set("attention.head_count_kv", n_kv_heads);
    for (const auto& [key, value] : more) set(key, value);
    writer.set(architecture + ".attention.layer_norm_rms_epsilon", rms_epsilon);
    for (const auto& t : tensors) writer.add_tensor(t.name, t.type, t.shape);
    return *writer.encode([](const auto& tensor, uint64_t offset, std::span<std::byte> piece) -> Status {
      fill_random(tensor.type, tensor.shape.size() == 1 ? 1.0 : 0.3, std::hash<std::string>()(tensor.name) + offset,
                  piece);
      return {};
    });
  }

  std::shared_ptr<const formats::GgufFile> file() const { return parse_owned(bytes()); }

  // A file that owns its bytes; null for bytes that are none.
  static std::shared_ptr<const formats::GgufFile> parse_owned(std::vector<std::byte> bytes) {
    struct Owned {
      std::vector<std::byte> bytes;
      formats::GgufFile file;
    };
    auto owned = std::make_shared<Owned>();
    owned->bytes = std::move(bytes);
    auto parsed = formats::GgufFile::parse(owned->bytes);
    if (!parsed) return nullptr;
    owned->file = std::move(*parsed);
    return {owned, &owned->file};
  }
};

}  // namespace exo::model
