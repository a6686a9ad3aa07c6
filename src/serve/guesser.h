#pragma once
// Guesses for one sequence from two sources: what the text said before (prompt_lookup.h) and a draft model
// (ring/drafter.h), where there is one. Knows how often each was right and takes the one that promises more tokens
// per second, with as many guesses as pay. What a source would have said is compared with what was sampled even
// when it was not asked, so that a source that has become good is noticed. Pure.
//
// The chain is what is taken to follow the known tokens: the guesses of the step that is away, and behind them what
// the draft model made of those meanwhile. Sampled tokens move along the chain or break it.

#include <cstdint>
#include <span>
#include <vector>

#include "base/sampler_settings.h"
#include "serve/prompt_lookup.h"
#include "serve/speculation.h"

namespace exo::serve {

enum class GuessSource : uint8_t { kLookup, kDraft };
inline constexpr size_t kGuessSources = 2;

struct Guesses {
  GuessSource source = GuessSource::kLookup;
  std::vector<TokenId> tokens;
};

class Guesser {
 public:
  // How often the draft model is right before anything is known of this sequence.
  explicit Guesser(double draft_acceptance = 0.5) : draft_(draft_acceptance) {}

  // ---- before a step; `tokens` is the sequence, growing at its end
  // What pays of the guesses that are there, at most `most`.
  Guesses choose(std::span<const TokenId> tokens, const StepCost& cost, int32_t most);
  // For a step ahead of the answers: what may follow `assumed`, the guesses behind the known tokens that are in
  // steps already. At most `most`; none where they hardly promise a token.
  Guesses choose_ahead(std::span<const TokenId> tokens, std::span<const TokenId> assumed, const StepCost& cost,
                       int32_t most);
  // How many more guesses of the draft model are worth waiting for, each taking `guess_s`; 0: the step had better
  // begin. Above 0 now and then although they do not pay when `tries`, to see whether that has changed.
  int32_t worth_waiting(std::span<const TokenId> tokens, const StepCost& cost, double guess_s, int32_t most,
                        bool tries);

  // ---- when a step leaves
  // It and those before it that are away carry these. False: they are not what the chain began with, so that the
  // draft model has to be told.
  bool sent(std::span<const TokenId> guesses);
  // How long the chain should be when the step comes back, given what it carries, so that the next one need not
  // wait. At most the chain's length: nothing is to be made. Now and then a few although they do not pay.
  size_t worth_making(std::span<const TokenId> tokens, const StepCost& cost, size_t n_sent, int32_t most);

  // ---- what comes back
  std::span<const TokenId> chain() const { return chain_; }
  void take(std::span<const TokenId> made);  // by the draft model, behind the chain
  // Sampled behind the known tokens. False: the chain broke or ended before, and is empty now.
  bool answer(std::span<const SampledToken> sampled);
  void lose();  // the step was lost, or the draft model

  double draft_acceptance() const { return draft_.acceptance(); }
  bool draft_was_tried() const { return draft_tried_; }

 private:
  Window look_up(std::span<const TokenId> tokens, const StepCost& cost, int32_t most);
  bool is_time_to_try(size_t n_tokens);

  PromptLookup lookup_;
  Speculation looked_up_, draft_;
  std::vector<TokenId> found_;  // by look-up, behind the known tokens
  std::vector<TokenId> chain_;
  size_t drafted_from_ = 0;  // of the chain: before it are guesses of another source
  size_t next_try_ = 0;      // by tokens of the sequence
  bool draft_tried_ = false;
};

}  // namespace exo::serve
