#pragma once
// What sets one family of model folders apart from another, as data: which of config.json's numbers and which
// tensors become which keys and tensors of the GGUF files of the same family.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "convert/config_fields.h"
#include "convert/view_builder.h"

namespace exo::convert {

// The numbers that more than one tensor or key depends on.
struct ModelShape {
  int64_t n_layers = 0;
  int64_t d_model = 0;
  int64_t d_ff = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t n_experts = 0;  // 0: a dense model
};

struct Family;

// One module of a folder on its way to a tensor.
struct RecipeInput {
  ViewBuilder& view;
  const ConfigFields& config;
  const ModelShape& shape;
  const Family& family;
  std::string module;  // "model.layers.3.self_attn.q_proj"
  std::string name;    // "blk.3.attn_q"
};

// Adds what the folder has of it; nothing when it has nothing.
using Recipe = Status (*)(const RecipeInput& input);

struct TensorRule {
  std::string_view module;  // within a block
  std::string_view name;    // within a block
  Recipe recipe;
};

struct MetadataInput {
  const ConfigFields& config;
  const ModelShape& shape;
  const Family& family;
  formats::GgufWriter& metadata;
};
using MetadataRule = Status (*)(const MetadataInput& input);

struct Family {
  std::string_view architecture;  // config.json's architectures[0]
  std::string_view model_type;    // and its model_type
  std::string_view gguf;          // general.architecture

  bool layer_norm = false;      // its norms subtract the mean
  bool norms_plus_one = false;  // their weights are stored less one
  // Queries and keys are stored for rotation of (i, i + half), where the family's GGUF files have them reordered
  // for (2i, 2i + 1).
  bool rope_halves = false;
  bool tiles_value_heads = false;  // of gated delta nets: recipes.h
  bool ties_embedding = false;     // where config.json does not say
  double default_partial_rotary = 1.0;
  bool gates_alternate = false;     // gate and up take turns where a tensor holds both, instead of all gates first
  MetadataRule metadata = nullptr;  // keys that only this family has
  std::span<const TensorRule> rules{};  // go before the common ones

  // Names outside and around the blocks.
  std::string_view embedding = "embed_tokens";
  std::string_view layers = "layers";
  std::string_view norm = "norm";
  std::string_view head = "lm_head";
};

// By architectures[0], else by the model_type of the part that speaks. kUnsupported says what it is and what is
// known.
Result<const Family*> find_family(const ConfigFields& config);

// Rules that hold for all families.
std::span<const TensorRule> common_rules();

}  // namespace exo::convert
