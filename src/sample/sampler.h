#pragma once
// Logits → one token. A pure function of (settings, history, logits, position): the random number is a hash of
// (seed, position), so a request that is resumed on another device continues exactly as it would have.

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"

namespace exo::sample {

struct SamplerSettings {
  float temperature = 0.8f;        // 0: greedy
  int32_t top_k = 40;              // 0: all
  float top_p = 0.95f;             // 1: all
  float min_p = 0.05f;             // 0: all
  float repetition_penalty = 1.0f;  // > 1 divides positive and multiplies negative logits of tokens seen
  float presence_penalty = 0.0f;   // subtracted once per token seen in the answer
  float frequency_penalty = 0.0f;  // subtracted per occurrence in the answer
  int32_t penalty_window = 64;     // how far back repetition_penalty looks; 0: everywhere
  std::vector<std::pair<TokenId, float>> logit_bias;
  uint64_t seed = 0;
  bool operator==(const SamplerSettings&) const = default;

  bool needs_history() const {
    return repetition_penalty != 1.0f || presence_penalty != 0.0f || frequency_penalty != 0.0f;
  }
};

struct Sampled {
  TokenId token;
  float log_probability = 0;  // natural log, of the distribution before truncation (as OpenAI reports)
};

// One sequence's sampler at the last stage. `prompt_tokens` of the history came from the client, the rest were sampled.
class Sampler {
 public:
  Sampler(SamplerSettings settings, std::vector<TokenId> history, size_t prompt_tokens);
  // logits: [n_vocab], overwritten. `position` is that of the token being chosen. Appends the token to the history.
  // NaN logits are treated as -inf; ties go to the lowest id.
  Sampled sample(std::span<float> logits, Position position);
  // The `n` most probable tokens of raw logits with their log-probabilities, best first.
  static std::vector<Sampled> top(std::span<const float> logits, int32_t n);

  const SamplerSettings& settings() const { return settings_; }

 private:
  SamplerSettings settings_;
  std::vector<TokenId> history_;
  size_t prompt_tokens_;
  std::vector<Sampled> scratch_;
};

}  // namespace exo::sample
