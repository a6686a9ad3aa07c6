#include "model/stage_tensors.h"

#include <algorithm>
#include <charconv>

namespace exo::model {

std::optional<int32_t> block_of(std::string_view tensor_name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!tensor_name.starts_with(kPrefix)) return std::nullopt;
  int32_t block = -1;
  const char* end = tensor_name.data() + tensor_name.size();
  const auto [next, error] = std::from_chars(tensor_name.data() + kPrefix.size(), end, block);
  if (error != std::errc() || block < 0 || next == end || *next != '.') return std::nullopt;
  return block;
}

bool is_embedding_tensor(std::string_view name) {
  return name == "token_embd.weight" || name == "position_embd.weight" || name == "token_types.weight" ||
         name.starts_with("token_embd_norm.");
}

bool is_head_tensor(std::string_view name) {
  return name.starts_with("output.") || name.starts_with("output_norm.") || name.starts_with("cls.");
}

bool is_rope_tensor(std::string_view name) {
  return name == "rope_freqs.weight" || name == "rope_factors_long.weight" || name == "rope_factors_short.weight";
}

bool has_tied_head(const formats::GgufFile& file) { return file.find_tensor("output.weight") == nullptr; }

std::vector<const formats::TensorView*> stage_tensors(const formats::GgufFile& file, LayerRange layers,
                                                      int32_t n_layers) {
  const bool first = layers.begin.value == 0, last = layers.end.value == n_layers;
  const bool reads_tied_head = last && !first && has_tied_head(file);
  struct Ranked {
    int32_t rank;
    const formats::TensorView* tensor;
  };
  std::vector<Ranked> found;
  for (const auto& tensor : file.tensors()) {
    if (const auto block = block_of(tensor.name)) {
      if (layers.contains(LayerIndex(*block))) found.push_back({*block, &tensor});
    } else if (is_rope_tensor(tensor.name) || (first && is_embedding_tensor(tensor.name))) {
      found.push_back({-1, &tensor});
    } else if ((last && is_head_tensor(tensor.name)) || (reads_tied_head && tensor.name == "token_embd.weight")) {
      found.push_back({n_layers, &tensor});
    }
  }
  std::ranges::stable_sort(found, {}, &Ranked::rank);
  std::vector<const formats::TensorView*> tensors;
  tensors.reserve(found.size());
  for (const auto& ranked : found) tensors.push_back(ranked.tensor);
  return tensors;
}

}  // namespace exo::model
