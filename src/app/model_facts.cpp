#include "app/model_facts.h"

#include <algorithm>

namespace exo::app {

wire::ModelFacts facts_of(const model::ModelInfo& info, const std::string& name, const std::string& fingerprint,
                          uint64_t file_bytes) {
  wire::ModelFacts facts;
  facts.name = name;
  facts.fingerprint = fingerprint;
  facts.architecture = info.architecture;
  facts.weight_type = info.weight_type;
  facts.n_layers = info.n_layers;
  facts.d_model = info.d_model;
  facts.n_vocab = info.n_vocab;
  facts.context_length = info.context_length;
  facts.file_bytes = file_bytes;
  facts.layer_bytes = info.layer_bytes;
  facts.embedding_bytes = info.embedding_bytes;
  facts.head_bytes = info.head_bytes;
  facts.kv_bytes_per_position = info.kv_bytes_per_position;
  const bool keeps_state = std::ranges::any_of(info.state_bytes, [](uint64_t bytes) { return bytes > 0; });
  if (keeps_state) facts.state_bytes = info.state_bytes;
  facts.expert_bytes = info.expert_bytes;
  facts.n_experts = info.n_experts;
  facts.n_experts_used = info.n_experts_used;
  facts.attention_width = info.attention_width;
  facts.tensor_parallel_parts = info.tensor_parallel_parts;
  facts.kv_whole_in_groups = info.kv_whole_in_groups;
  facts.feed_forward_width = info.feed_forward_width;
  facts.exchanges_norms = info.exchanges_norms;
  for (const auto& format : info.formats) {
    facts.formats.push_back(
        {std::string(exo::info(format.type).name), format.layer_bytes, format.expert_bytes, format.head_bytes});
  }
  return facts;
}

}  // namespace exo::app
