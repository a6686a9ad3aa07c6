// Scheduler's dealings with the draft model: what it orders, and how long a sequence waits for it.

#include <algorithm>
#include <chrono>
#include <utility>

#include "serve/measures.h"
#include "serve/scheduler.h"

namespace exo::serve {
namespace {

constexpr int32_t kNear = 32;          // tokens behind: what is further has to read first, and is not waited for
constexpr int32_t kBarredFor = 256;    // tokens
constexpr double kForgetDelay = 0.01;  // per step: the draft model is tried again when the device is less busy
constexpr auto kLeastPatience = std::chrono::milliseconds(20);
constexpr auto kMostPatience = std::chrono::seconds(1);
constexpr double kPatience = 3;  // times what it should take

}  // namespace

void Scheduler::set_drafter(std::unique_ptr<ring::Drafter> drafter) {
  drafter_ = takes_guesses() ? std::move(drafter) : nullptr;
  guess_s_ = 0;
  for (const auto& [arrival, sequence] : running_) {
    lose_guesses(*sequence);
    sequence->draft_reached = sequence->draft_barred = 0;
    order_guesses(*sequence, 0);
  }
  pump();
}

double Scheduler::guess_s() const { return guess_s_ > 0 || !drafter_ ? guess_s_ : drafter_->guess_s(); }

int32_t Scheduler::most_guesses(const Sequence& sequence) const {
  return std::max(0, std::min(config_.max_draft_tokens, sequence.remaining - 1));
}

// Whether the sequence's next step should begin later. If so, what it waits for is under way, and so is the end of
// its patience.
bool Scheduler::waits_for_guesses(Sequence& sequence, int32_t n_decoding) {
  if (sequence.wait) return true;
  if (!drafter_ || n_decoding > static_cast<int32_t>(config_.stage_nodes.size())) return false;
  if (sequence.size() < sequence.draft_barred) return false;
  if (sequence.waited_at == sequence.size() || sequence.size() - sequence.draft_reached > kNear) return false;
  const bool tries = config_.stage_nodes.size() == 1;  // elsewhere that is done while steps are away
  const int32_t count =
      sequence.guesser.worth_waiting(sequence.tokens, step_cost_.cost(), guess_s(), most_guesses(sequence), tries);
  if (count == 0) return false;
  const auto expected = std::chrono::duration<double>(kPatience * count * guess_s());
  const auto patience =
      std::clamp<net::Duration>(std::chrono::duration_cast<net::Duration>(expected), kLeastPatience, kMostPatience);
  const auto now = clock_.now();
  sequence.wait = {sequence.guesser.chain().size() + static_cast<size_t>(count), count, now, now + patience};
  sequence.waited_at = sequence.size();
  order_guesses(sequence, count);
  set_patience_timer();
  return true;
}

void Scheduler::order_guesses(Sequence& sequence, int32_t count) {
  if (!drafter_ || sequence.size() < sequence.draft_barred) return;
  sequence.draft_ordered = sequence.size();
  ring::DraftOrder order{.sequence = sequence.arrival, .version = ++sequence.draft_version, .count = count};
  order.prompt_tokens = sequence.prompt_tokens;
  order.sampler = sequence.sampler;
  const auto chain = sequence.guesser.chain();
  order.tokens.reserve(sequence.tokens.size() + chain.size());
  order.tokens = sequence.tokens;
  order.tokens.insert(order.tokens.end(), chain.begin(), chain.end());
  drafter_->propose(std::move(order));
}

// While steps are away the first stage has nothing else to do, unless it is the only one. Then the draft model
// only reads what was answered, so that it can be waited for.
void Scheduler::order_ahead(Sequence& sequence) {
  if (!drafter_) return;
  if (!sequence.guesser.sent(sequence.assumed)) ++sequence.draft_version;
  if (guess_s_ > 0) guess_s_ += kForgetDelay * (drafter_->guess_s() - guess_s_);
  size_t wanted = 0;
  if (config_.stage_nodes.size() > 1)
    wanted = sequence.guesser.worth_making(sequence.tokens, step_cost_.cost(), sequence.assumed.size(),
                                           most_guesses(sequence));
  const size_t present = sequence.guesser.chain().size();
  if (wanted > present) return order_guesses(sequence, static_cast<int32_t>(wanted - present));
  if (sequence.size() - sequence.draft_ordered >= kNear) order_guesses(sequence, 0);
}

void Scheduler::on_guesses(uint64_t number, uint64_t version, std::span<const TokenId> guesses,
                           ring::DraftState state) {
  const auto found = running_.find(number);
  if (found == running_.end() || found->second->draft_version != version) return;
  Sequence& sequence = *found->second;
  const bool cannot = state == ring::DraftState::kCannot || !std::ranges::all_of(guesses, [this](TokenId token) {
                        return token.value >= 0 && (config_.n_vocab == 0 || token.value < config_.n_vocab);
                      });
  if (cannot) {
    sequence.draft_barred = sequence.size() + kBarredFor;
    if (!std::exchange(sequence.wait, {})) return;
    return pump();
  }
  sequence.guesser.take(guesses);
  sequence.draft_reached = sequence.draft_ordered;
  const bool goes_on = state == ring::DraftState::kGoesOn;
  if (goes_on && (!sequence.wait || sequence.guesser.chain().size() < sequence.wait->chain)) return;
  if (sequence.wait) end_wait(sequence);
  pump();
}

void Scheduler::end_wait(Sequence& sequence) {
  const double each_s = seconds(clock_.now() - sequence.wait->since) / sequence.wait->ordered;
  smooth(guess_s_, each_s);
  sequence.wait.reset();
}

void Scheduler::lose_guesses(Sequence& sequence) {
  sequence.guesser.lose();
  ++sequence.draft_version;
  sequence.wait.reset();
  sequence.waited_at = -1;
}

void Scheduler::set_patience_timer() {
  std::optional<net::TimePoint> first;
  for (const auto& [arrival, sequence] : running_)
    if (sequence->wait && (!first || sequence->wait->until < *first)) first = sequence->wait->until;
  clock_.cancel(patience_timer_);
  patience_timer_ = 0;
  if (first) patience_timer_ = clock_.run_after(*first - clock_.now(), [this] { on_patience(); });
}

void Scheduler::on_patience() {
  patience_timer_ = 0;
  const auto now = clock_.now();
  for (const auto& [arrival, sequence] : running_)
    if (sequence->wait && sequence->wait->until <= now) end_wait(*sequence);
  set_patience_timer();
  pump();
}

}  // namespace exo::serve
