#include "sample/sampler.h"

#include <algorithm>
#include <cmath>

#include "sample/counter_random.h"
#include "sample/log_probability.h"
#include "sample/logit_scan.h"
#include "sample/portable_exp.h"
#include "sample/select_best.h"

namespace exo::sample {
namespace {

// The lowest id of the largest logit; 0 when all are -inf or NaN.
TokenId argmax(std::span<const float> logits) {
  const size_t found = find_equal(logits, 0, max_of(logits));
  return TokenId(found == logits.size() ? 0 : static_cast<int32_t>(found));
}

// The logit below which min_p drops a token.
double lowest_kept(float min_p, double largest) {
  return largest + portable_log_floor(std::min(static_cast<double>(min_p), 1.0));
}

bool is_on(float value) { return std::isfinite(value) && value != 0.0f; }

}  // namespace

Sampler::Sampler(SamplerSettings settings, std::vector<TokenId> history, size_t prompt_tokens)
    : settings_(std::move(settings)) {
  if (!(settings_.repetition_penalty > 0) || !std::isfinite(settings_.repetition_penalty))
    settings_.repetition_penalty = 1.0f;
  history_.reserve(history.size() + 256);
  for (size_t i = 0; i < history.size(); ++i) remember(history[i], i >= prompt_tokens);
}

void Sampler::remember(TokenId token, bool answered) {
  history_.push_back(token);
  if (settings_.repetition_penalty != 1.0f) {
    ++recent_[token.value];
    const auto window = static_cast<size_t>(std::max(settings_.penalty_window, 0));
    if (window > 0 && history_.size() > window) {
      const auto oldest = recent_.find(history_[history_.size() - 1 - window].value);
      if (--oldest->second == 0) recent_.erase(oldest);
    }
  }
  if (answered && (is_on(settings_.presence_penalty) || is_on(settings_.frequency_penalty)))
    ++answered_[token.value];
}

void Sampler::apply_bias_and_penalties(std::span<float> logits) const {
  const auto at = [&](int32_t id) {
    return id >= 0 && static_cast<size_t>(id) < logits.size() ? &logits[id] : nullptr;
  };
  for (const auto& [token, bias] : settings_.logit_bias)
    if (float* logit = at(token.value)) *logit += bias;
  for (const auto& [id, count] : recent_)
    if (float* logit = at(id))
      *logit = *logit > 0 ? *logit / settings_.repetition_penalty : *logit * settings_.repetition_penalty;
  const float presence = is_on(settings_.presence_penalty) ? settings_.presence_penalty : 0.0f;
  const float frequency = is_on(settings_.frequency_penalty) ? settings_.frequency_penalty : 0.0f;
  for (const auto& [id, count] : answered_)
    if (float* logit = at(id)) *logit -= presence + static_cast<float>(count) * frequency;
}

// The fewest best candidates whose probabilities reach top_p. Without top_k the probabilities are those of all
// logits, of which only as many are sorted as it takes.
void Sampler::keep_top_p(std::span<const float> logits) {
  const bool all = settings_.top_k <= 0 || static_cast<size_t>(settings_.top_k) >= logits.size();
  double total = 0;
  size_t sorted = 256;
  if (all) {
    select_best(logits, sorted, candidates_);
    if (candidates_.empty()) return;
    const double largest = candidates_[0].logit;
    total = exp_sum(logits, {largest, 1, -HUGE_VAL});
  } else {
    for (const Candidate& candidate : candidates_)
      total += portable_exp(static_cast<double>(candidate.logit) - candidates_[0].logit);
  }
  const double wanted = settings_.top_p * total;
  double reached = 0;
  for (size_t i = 0;; ++i) {
    if (i == candidates_.size()) {
      if (!all || candidates_.size() < std::min(sorted, logits.size())) return;
      if (candidates_.size() == logits.size()) return;
      sorted *= 8;
      select_best(logits, sorted, candidates_);
      if (i >= candidates_.size()) return;
    }
    reached += portable_exp(static_cast<double>(candidates_[i].logit) - candidates_[0].logit);
    if (reached >= wanted) {
      candidates_.resize(i + 1);
      return;
    }
  }
}

void Sampler::keep_min_p() {
  const double least = lowest_kept(settings_.min_p, candidates_[0].logit);
  size_t kept = 1;
  while (kept < candidates_.size() && candidates_[kept].logit >= least) ++kept;
  candidates_.resize(kept);
}

TokenId Sampler::draw(Position position) const {
  const double largest = candidates_[0].logit, temperature = settings_.temperature;
  double total = 0;
  for (const Candidate& candidate : candidates_) total += portable_exp((candidate.logit - largest) / temperature);
  const double target = uniform(settings_.seed, position.value) * total;
  double reached = 0;
  for (const Candidate& candidate : candidates_) {
    reached += portable_exp((candidate.logit - largest) / temperature);
    if (reached > target) return TokenId(candidate.id);
  }
  return TokenId(candidates_[0].id);  // rounding only: the sums are the same numbers in the same order
}

// Nothing to sort for: min_p is a threshold and the draw walks over the ids, block by block.
TokenId Sampler::draw_from_all(std::span<const float> logits, Position position) {
  constexpr size_t kBlock = 1024;
  const double largest = std::min(max_of(logits), kLargestLogit);
  const ExpTerms terms{largest, 1.0 / settings_.temperature,
                       settings_.min_p > 0 ? lowest_kept(settings_.min_p, largest) : -HUGE_VAL};
  const auto block_at = [&](size_t i) { return logits.subspan(i, std::min(kBlock, logits.size() - i)); };
  block_sums_.clear();
  double total = 0;
  for (size_t i = 0; i < logits.size(); i += kBlock) total += block_sums_.emplace_back(exp_sum(block_at(i), terms));
  const double target = uniform(settings_.seed, position.value) * total;
  double reached = 0;
  size_t block = 0;
  while (block + 1 < block_sums_.size() && !(reached + block_sums_[block] > target))
    reached += block_sums_[block++];
  TokenId chosen = argmax(logits);  // when sums in another order do not reach so far by a rounding
  for (size_t i = block * kBlock; i < std::min((block + 1) * kBlock, logits.size()); ++i) {
    const double term = exp_term(logits[i], terms);
    if (term > 0) chosen = TokenId(static_cast<int32_t>(i));
    if ((reached += term) > target) break;
  }
  return chosen;
}

TokenId Sampler::choose(std::span<const float> logits, Position position) {
  if (!(settings_.temperature > 0) || !std::isfinite(settings_.temperature) || settings_.top_k == 1)
    return argmax(logits);
  if (max_of(logits) == kLowestLogit) return TokenId(0);
  const bool truncates_k = settings_.top_k > 0 && static_cast<size_t>(settings_.top_k) < logits.size();
  const bool truncates_p = settings_.top_p > 0 && settings_.top_p < 1;
  if (!truncates_k && !truncates_p) return draw_from_all(logits, position);
  if (truncates_k) select_best(logits, static_cast<size_t>(settings_.top_k), candidates_);
  if (truncates_p) keep_top_p(logits);
  if (settings_.min_p > 0) keep_min_p();
  return draw(position);
}

SampledToken Sampler::sample(std::span<float> logits, Position position) {
  SampledToken sampled;
  const bool reports = settings_.top_log_probabilities >= 0 && !logits.empty();
  const bool changes_logits = !settings_.logit_bias.empty() || !recent_.empty() || !answered_.empty();
  LogSum sum{};
  std::vector<float> raw;
  if (reports) {
    sum = log_sum(logits);
    sampled.alternatives = most_probable(logits, sum, settings_.top_log_probabilities);
    if (changes_logits) raw.assign(logits.begin(), logits.end());
  }
  if (changes_logits) apply_bias_and_penalties(logits);
  sampled.token = choose(logits, position);
  if (reports) {
    const auto index = static_cast<size_t>(sampled.token.value);
    sampled.log_probability = sum.log_probability(changes_logits ? raw[index] : logits[index]);
  }
  remember(sampled.token, true);
  return sampled;
}

}  // namespace exo::sample
