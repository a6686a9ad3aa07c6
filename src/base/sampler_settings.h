#pragma once
// How a request wants its tokens chosen. A plain value: it travels with the request to the last stage.

#include <cstdint>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace exo {

struct SamplerSettings {
  float temperature = 0.8f;         // 0: greedy
  int32_t top_k = 40;               // 0: all
  float top_p = 0.95f;              // 1: all
  float min_p = 0.05f;              // 0: all
  float repetition_penalty = 1.0f;  // > 1 divides positive and multiplies negative logits of tokens seen
  float presence_penalty = 0.0f;    // subtracted once per token seen in the answer
  float frequency_penalty = 0.0f;   // subtracted per occurrence in the answer
  int32_t penalty_window = 64;      // how far back repetition_penalty looks; 0: everywhere
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;
  int32_t top_log_probabilities = -1;  // how many alternatives to report per token; -1: no log-probabilities at all
  bool operator==(const SamplerSettings&) const = default;

  bool needs_history() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f;
  }
};

// A chosen token. Log-probabilities are natural logs of the distribution before truncation, as OpenAI reports them.
struct SampledToken {
  TokenId token;
  float log_probability = 0;
  std::vector<std::pair<TokenId, float>> alternatives;  // best first; empty unless asked for
  bool operator==(const SampledToken&) const = default;
};

}  // namespace exo
