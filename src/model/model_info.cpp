#include <algorithm>
#include <map>

#include "model/hyperparameters.h"
#include "model/kv_cache.h"
#include "model/load.h"
#include "model/recurrent_state.h"
#include "model/stage_tensors.h"

namespace exo::model {
namespace {

void count_tensor(const formats::TensorView& tensor, bool tied, ModelInfo& info, FormatBytes& format) {
  const uint64_t bytes = tensor.bytes();
  bool in_head = is_head_tensor(tensor.name);
  if (const auto block = block_of(tensor.name)) {
    info.layer_bytes[static_cast<size_t>(*block)] += bytes;
    format.layer_bytes += bytes;
    const bool routed = tensor.name.find("_exps.") != std::string::npos;
    if (!routed || info.expert_bytes.empty()) return;
    info.expert_bytes[static_cast<size_t>(*block)] += bytes;
    format.expert_bytes += bytes;
    return;
  }
  if (is_embedding_tensor(tensor.name)) {
    info.embedding_bytes += bytes;
    in_head |= tied && tensor.name == "token_embd.weight";
  }
  if (!in_head) return;
  info.head_bytes += bytes;
  format.head_bytes += bytes;
}

void describe_blocks(const Hyperparameters& model, ModelInfo& info) {
  for (const auto& layer : model.layers) {
    const int32_t width = layer.n_heads * (model.key_dim + model.value_dim) / 2;
    // A delta net is not cut; nor is a key-value head, but what all query heads read every member may have.
    const int32_t parts = layer.is_delta_net ? 1 : layer.n_kv_heads > 1 ? layer.n_kv_heads : layer.n_heads;
    info.attention_width = std::max(info.attention_width, width);
    info.feed_forward_width =
        std::max(info.feed_forward_width, layer.d_ff + model.experts.n_chosen * layer.d_expert);
    info.kv_whole_in_groups |= !layer.is_delta_net && layer.n_kv_heads == 1;
    if (parts > 0 && (info.tensor_parallel_parts == 0 || parts < info.tensor_parallel_parts)) {
      info.tensor_parallel_parts = parts;
    }
  }
}

}  // namespace

Result<ModelInfo> read_model_info(const formats::GgufFile& file) {
  EXO_TRY(const auto model, read_hyperparameters(file));
  ModelInfo info;
  info.architecture = model.architecture->name;
  info.name = model.name;
  info.n_layers = model.n_layers();
  info.d_model = model.d_model;
  info.n_vocab = model.n_vocab;
  info.context_length = model.context_length;
  info.layer_bytes.resize(model.layers.size());
  if (model.experts.n_experts > 0) {
    info.expert_bytes.resize(model.layers.size());
    info.n_experts = model.experts.n_experts;
    info.n_experts_used = model.experts.n_chosen;
  }
  describe_blocks(model, info);
  info.exchanges_norms = may_cut_hidden(model);
  std::map<ElementType, uint64_t> bytes_by_type;
  std::map<ElementType, FormatBytes> formats;
  const bool tied = has_tied_head(file);
  for (const auto& tensor : file.tensors()) {
    if (const auto block = block_of(tensor.name); block && *block >= info.n_layers) continue;  // not run
    info.n_parameters += tensor.elements();
    bytes_by_type[tensor.type] += tensor.bytes();
    count_tensor(tensor, tied, info, formats.try_emplace(tensor.type, FormatBytes{tensor.type}).first->second);
  }
  const auto most = std::ranges::max_element(bytes_by_type, {}, [](const auto& entry) { return entry.second; });
  if (most != bytes_by_type.end()) info.weight_type = exo::info(most->first).name;
  for (const auto& [type, bytes] : formats) {
    if (bytes.layer_bytes + bytes.head_bytes > 0) info.formats.push_back(bytes);
  }
  for (const auto& layer : model.layers) {
    info.kv_bytes_per_position.push_back(kv_bytes_per_position(model, layer, ElementType::kF16).value_or(0));
    info.state_bytes.push_back(state_bytes(model, layer));
  }
  return info;
}

}  // namespace exo::model
