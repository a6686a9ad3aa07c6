#pragma once
// Logits → one token. A pure function of (settings, history, logits, position): the random number is a hash of
// (seed, position), so a request that is resumed on another device continues exactly as it would have.

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.h"
#include "base/sampler_settings.h"

namespace exo::sample {

// One sequence's sampler at the last stage. The first `prompt_tokens` of the history came from the client, the rest
// were sampled.
class Sampler {
 public:
  Sampler(SamplerSettings settings, std::vector<TokenId> history, size_t prompt_tokens);
  // logits: [n_vocab], overwritten. `position` is that of the token being chosen. Appends the token to the history.
  // NaN logits are treated as -inf; ties go to the lowest id. Log-probabilities are computed only when asked for.
  SampledToken sample(std::span<float> logits, Position position);

  const SamplerSettings& settings() const { return settings_; }

 private:
  SamplerSettings settings_;
  std::vector<TokenId> history_;
  size_t prompt_tokens_;
};

}  // namespace exo::sample
