#pragma once
// Which tensors of a file belong to which part of a model, by their names.

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "formats/gguf.h"

namespace exo::model {

// "blk.17.attn_q.weight" → 17.
std::optional<int32_t> block_of(std::string_view tensor_name);

bool is_embedding_tensor(std::string_view name);  // the first stage's
bool is_head_tensor(std::string_view name);       // the last stage's; a tied embedding is not named so
bool is_rope_tensor(std::string_view name);       // every stage's
bool has_tied_head(const formats::GgufFile& file);

// The tensors that a stage of these blocks reads, in the order in which it loads them; `n_layers` is the whole
// model's.
std::vector<const formats::TensorView*> stage_tensors(const formats::GgufFile& file, LayerRange layers,
                                                      int32_t n_layers);

// Bytes [begin, end) of a tensor.
struct TensorPiece {
  const formats::TensorView* tensor = nullptr;
  uint64_t begin = 0, end = 0;
  uint64_t size() const { return end - begin; }
};

}  // namespace exo::model
