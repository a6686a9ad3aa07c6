#include "serve/guesser.h"

#include <algorithm>

namespace exo::serve {
namespace {

constexpr size_t kTryEvery = 48;            // tokens, of a draft model that does not pay
constexpr int32_t kTriedGuesses = 2;        // at a time
constexpr double kWorthwhile = 1.03;        // less gain than that is noise
constexpr double kWorthSendingAhead = 0.5;  // expected tokens of a step

// The first `n` sampled tokens that are as guessed, of those that can be compared.
size_t agreement(std::span<const TokenId> guessed, std::span<const SampledToken> sampled) {
  size_t n = 0;
  while (n < std::min(guessed.size(), sampled.size()) && guessed[n] == sampled[n].token) ++n;
  return n;
}

// Guesses that nothing was sampled for say nothing.
void learn(Speculation& speculation, size_t n_guessed, size_t n_sampled, size_t right) {
  const size_t tried = std::min(right + 1, std::min(n_guessed, n_sampled));
  speculation.learn(static_cast<int32_t>(tried), static_cast<int32_t>(right));
}

int32_t count(std::span<const TokenId> tokens) { return static_cast<int32_t>(tokens.size()); }

}  // namespace

Window Guesser::look_up(std::span<const TokenId> tokens, const StepCost& cost, int32_t most) {
  found_ = lookup_.guess(tokens, most);
  return looked_up_.window(cost, count(found_));
}

Guesses Guesser::choose(std::span<const TokenId> tokens, const StepCost& cost, int32_t most) {
  const Window found = look_up(tokens, cost, most);
  const Window drafted = draft_.window(cost, std::min(most, count(chain_)));
  const auto first = [](const std::vector<TokenId>& from, int32_t n) {
    return std::vector<TokenId>(from.begin(), from.begin() + n);
  };
  if (drafted.guesses > 0 && (drafted.tokens_per_s > found.tokens_per_s || found.guesses == 0))
    return {GuessSource::kDraft, first(chain_, drafted.guesses)};
  return {GuessSource::kLookup, first(found_, found.guesses)};
}

Guesses Guesser::choose_ahead(std::span<const TokenId> tokens, std::span<const TokenId> assumed,
                              const StepCost& cost, int32_t most) {
  Guesses best;
  double best_tokens = kWorthSendingAhead;
  const auto consider = [&](GuessSource source, const Speculation& speculation, std::span<const TokenId> known) {
    if (known.size() <= assumed.size() || !std::ranges::equal(assumed, known.first(assumed.size()))) return;
    known = known.subspan(assumed.size());
    // As large as any other: the row that would be the known token's is a guess as well.
    const int32_t rows = std::min({count(known), most, speculation.window(cost, most).guesses + 1});
    const double promised = speculation.expected_ahead(assumed.size(), rows);
    if (rows <= 0 || promised < best_tokens) return;
    best = {source, {known.begin(), known.begin() + rows}};
    best_tokens = promised;
  };
  std::vector<TokenId> found = lookup_.guess(tokens, count(assumed) + std::max(most, 0));
  consider(GuessSource::kLookup, looked_up_, found);
  consider(GuessSource::kDraft, draft_, chain_);
  found_ = std::move(found);
  return best;
}

int32_t Guesser::worth_waiting(std::span<const TokenId> tokens, const StepCost& cost, double guess_s, int32_t most,
                               bool tries) {
  if (most <= 0 || guess_s <= 0 || cost.fixed_s <= 0) return 0;
  const int32_t ready = count(chain_);
  const Window found = look_up(tokens, cost, most);
  const Window at_once = draft_.window(cost, std::min(most, ready));
  const Window waited = draft_.window(cost, most, {ready, guess_s});
  if (waited.guesses > ready &&
      waited.tokens_per_s > kWorthwhile * std::max(found.tokens_per_s, at_once.tokens_per_s)) {
    return waited.guesses - ready;
  }
  // One that takes longer than a step cannot pay.
  if (tries && ready == 0 && guess_s < cost.fixed_s && is_time_to_try(tokens.size()))
    return std::min(most, kTriedGuesses);
  return 0;
}

bool Guesser::sent(std::span<const TokenId> guesses) {
  if (guesses.size() <= chain_.size() && std::ranges::equal(guesses, std::span(chain_).first(guesses.size())))
    return true;
  chain_.assign(guesses.begin(), guesses.end());
  drafted_from_ = chain_.size();
  return false;
}

size_t Guesser::worth_making(std::span<const TokenId> tokens, const StepCost& cost, size_t n_sent, int32_t most) {
  const Window drafted = draft_.window(cost, most);
  const Window found = looked_up_.window(cost, count(found_));
  // Behind the guesses comes a token that the last stage samples by itself.
  if (drafted.guesses > 0 && drafted.tokens_per_s > kWorthwhile * found.tokens_per_s)
    return n_sent + 1 + static_cast<size_t>(drafted.guesses);
  if (is_time_to_try(tokens.size())) return n_sent + 1 + kTriedGuesses;
  return 0;
}

bool Guesser::is_time_to_try(size_t n_tokens) {
  if (n_tokens < next_try_) return false;
  next_try_ = n_tokens + kTryEvery;
  return true;
}

void Guesser::take(std::span<const TokenId> made) { chain_.insert(chain_.end(), made.begin(), made.end()); }

bool Guesser::answer(std::span<const SampledToken> sampled) {
  const size_t found_right = agreement(found_, sampled);
  learn(looked_up_, found_.size(), sampled.size(), found_right);
  found_.erase(found_.begin(), found_.begin() + static_cast<ptrdiff_t>(found_right));
  if (found_right < sampled.size()) found_.clear();
  const size_t right = agreement(chain_, sampled);
  if (right >= drafted_from_ && chain_.size() > drafted_from_ && sampled.size() > drafted_from_) {
    learn(draft_, chain_.size() - drafted_from_, sampled.size() - drafted_from_, right - drafted_from_);
    draft_tried_ = true;
  }
  drafted_from_ -= std::min(drafted_from_, sampled.size());
  if (right == sampled.size()) {
    chain_.erase(chain_.begin(), chain_.begin() + static_cast<ptrdiff_t>(right));
    return true;
  }
  lose();
  return false;
}

void Guesser::lose() {
  chain_.clear();
  drafted_from_ = 0;
}

}  // namespace exo::serve
