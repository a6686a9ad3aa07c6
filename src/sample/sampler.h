#pragma once
// Logits → one token. A pure function of (settings, history, logits, position): the random number is a hash of
// (seed, position), so a request that is resumed on another device continues exactly as it would have.

#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/sampler_settings.h"
#include "sample/select_best.h"

namespace exo::sample {

// The steps, in order: logit_bias, penalties, top_k, top_p (of what top_k left, at temperature 1), min_p,
// temperature, draw. The same inputs give the same token on every machine. Settings out of range (NaN, negative)
// mean "off".
//
// One sequence's sampler at the last stage. The first `prompt_tokens` of the history came from the client, the rest
// were sampled.
class Sampler {
 public:
  Sampler(SamplerSettings settings, std::vector<TokenId> history, size_t prompt_tokens);
  // logits: [n_vocab], overwritten. `position` is that of the token being chosen. Appends the token to the history.
  // NaN logits are treated as -inf; ties go to the lowest id. Log-probabilities are computed only when asked for.
  SampledToken sample(std::span<float> logits, Position position);

  const SamplerSettings& settings() const { return settings_; }
  const std::vector<TokenId>& history() const { return history_; }

 private:
  using Counts = std::unordered_map<int32_t, int32_t>;

  void remember(TokenId token, bool answered);
  void apply_bias_and_penalties(std::span<float> logits) const;
  TokenId choose(std::span<const float> logits, Position position);
  TokenId draw_from_all(std::span<const float> logits, Position position);
  void keep_top_p(std::span<const float> logits);
  void keep_min_p();
  TokenId draw(Position position) const;

  SamplerSettings settings_;
  std::vector<TokenId> history_;
  Counts recent_;                      // of the last penalty_window tokens, while repetition_penalty is on
  Counts answered_;                    // of the answer's tokens, while presence or frequency penalty is on
  std::vector<Candidate> candidates_;  // best first
  std::vector<double> block_sums_;     // of all tokens, for a draw without truncation
};

}  // namespace exo::sample
