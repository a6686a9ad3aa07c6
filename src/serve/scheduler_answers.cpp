// What comes back from the ring: answers to steps, their failures, and what they teach about time.

#include <algorithm>

#include "base/log.h"
#include "serve/measures.h"
#include "serve/scheduler.h"

namespace exo::serve {
namespace {

using wire::FinishReason;

constexpr std::string_view kComponent = "scheduler";
constexpr int32_t kFewRows = 32;  // a step of decoding sequences, not of prefill
constexpr net::Duration kFirstBackoff = std::chrono::milliseconds(50);
constexpr net::Duration kLongestBackoff = std::chrono::seconds(2);

// The step itself is sound, but it or an earlier one did not get through.
bool is_transient(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kCancelled || code == ErrorCode::kDeadlineExceeded;
}

}  // namespace

void Scheduler::on_step_result(wire::StepResult result) {
  if (in_flight_.empty() || result.micro_batch < in_flight_.front().id || result.micro_batch > in_flight_.back().id)
    return;  // written off, or never sent
  if (result.micro_batch != in_flight_.front().id) return on_transient_failure("the answer to a step was lost");
  InFlight& flight = in_flight_.front();
  if (!fits(flight, result)) {
    return on_step_failed({config_.fingerprint, config_.epoch, result.micro_batch, ErrorCode::kInternal,
                           "the last stage answered with another number of tokens"});
  }
  const InFlight answered = std::move(flight);
  in_flight_.pop_front();
  trouble_since_.reset();
  backoff_ = {};
  if (!result.tokens.empty() || !answered.was_ahead()) measure(answered, result.computed);
  note_trip(answered);
  std::span<SampledToken> tokens(result.tokens);
  size_t wanted = 0;
  for (const Part& part : answered.parts) {
    const auto count = part.wants_logits ? static_cast<size_t>(result.counts[wanted++]) : 0;
    take_answer(part, tokens.first(count));
    tokens = tokens.subspan(count);
  }
  pump();
}

bool Scheduler::fits(const InFlight& flight, const wire::StepResult& result) const {
  size_t wanted = 0, n_tokens = 0;
  for (const Part& part : flight.parts) {
    if (!part.wants_logits) continue;
    if (wanted == result.counts.size()) return false;
    const int32_t count = result.counts[wanted++];
    if (count < (part.ahead ? 0 : 1) || count > part.drafted + (part.ahead ? 0 : 1)) return false;
    if (part.ahead && part.run == part.sequence->run && is_over(part) != (count == 0)) return false;
    n_tokens += static_cast<size_t>(count);
  }
  return wanted == result.counts.size() && n_tokens == result.tokens.size();
}

void Scheduler::take_answer(const Part& part, std::span<SampledToken> tokens) {
  Sequence& sequence = *part.sequence;
  if (part.run != sequence.run) return;  // preempted or gone since
  auto& guessed = totals_.guesses[static_cast<size_t>(part.source)];
  guessed.drafted += static_cast<uint64_t>(part.drafted);
  if (is_over(part)) return;  // void
  const bool was_prefilling = sequence.confirmed < sequence.prefill_end;
  if (was_prefilling) totals_.prompt_tokens += static_cast<uint64_t>(part.end - sequence.confirmed);
  sequence.confirmed = part.ahead ? sequence.size() : part.end;
  offer_to_cache(sequence);
  if (tokens.empty()) return report_status(sequence);
  sequence.suspect = false;
  guessed.accepted += tokens.size() - (part.ahead ? 0 : 1);
  if (!sequence.guesser.answer(tokens)) ++sequence.draft_version;
  append_tokens(part.sequence, tokens, goes_on(sequence, part, tokens));
}

void Scheduler::offer_to_cache(Sequence& sequence) {
  if (config_.keeps_state) return;
  const auto per_block = static_cast<size_t>(config_.block_positions);
  const std::span<const TokenId> tokens(sequence.tokens);
  while ((sequence.chained_blocks + 1) * per_block <= static_cast<size_t>(sequence.confirmed)) {
    const size_t block = sequence.chained_blocks++;
    sequence.chain =
        cache_.insert(sequence.chain, tokens.subspan(block * per_block, per_block), sequence.blocks[block]);
  }
}

// All but the last are guesses that were right: every stage has computed them. `goes_on`: the last is in a step
// too.
void Scheduler::append_tokens(const SequencePtr& sequence, std::span<SampledToken> tokens, bool goes_on) {
  std::vector<SampledToken> sampled;
  for (SampledToken& token : tokens) {
    if (token.token.value < 0 || (config_.n_vocab > 0 && token.token.value >= config_.n_vocab))
      return finish(sequence, FinishReason::kError, std::move(sampled),
                    {ErrorCode::kInternal, "the last stage sampled no valid token"});
    if (std::ranges::find(sequence->stop_tokens, token.token) != sequence->stop_tokens.end())
      return finish(sequence, FinishReason::kStop, std::move(sampled), {});
    ++totals_.generated_tokens;
    sequence->tokens.push_back(token.token);
    sampled.push_back(std::move(token));
    if (--sequence->remaining <= 0) return finish(sequence, FinishReason::kLength, std::move(sampled), {});
  }
  sequence->confirmed = sequence->size() - 1;
  sequence->sent = sequence->confirmed + (goes_on ? 1 : 0);
  offer_to_cache(*sequence);
  wire::RequestUpdate update = update_for(*sequence);
  update.index -= static_cast<int32_t>(sampled.size());
  update.tokens = std::move(sampled);
  port_.send_update(sequence->front, std::move(update));
}

void Scheduler::on_step_failed(wire::StepFailed failed) {
  if (in_flight_.empty() || failed.micro_batch < in_flight_.front().id || failed.micro_batch > in_flight_.back().id)
    return;
  if (is_transient(failed.error_code)) return on_transient_failure(failed.error);
  log_warning(kComponent, "step {} failed: {}", failed.micro_batch, failed.error);
  const auto flight = std::ranges::find(in_flight_, failed.micro_batch, &InFlight::id);
  std::vector<SequencePtr> blamed;
  if (flight != in_flight_.end())
    for (const Part& part : flight->parts)
      if (part.run == part.sequence->run) blamed.push_back(part.sequence);
  if (blamed.size() == 1) {
    finish(blamed.front(), FinishReason::kError, {}, {failed.error_code, failed.error});
  } else {
    for (const auto& sequence : blamed) sequence->suspect = true;
  }
  write_off_steps();
  pump();
}

void Scheduler::write_off_steps() {
  in_flight_.clear();
  std::vector<SequencePtr> replayed;
  for (const auto& [arrival, sequence] : running_) replayed.push_back(sequence);
  for (const auto& sequence : replayed) requeue(sequence);
  totals_.replays += replayed.size();
  closed_slots_.clear();
  for (int32_t slot = 0; slot < config_.max_slots; ++slot) closed_slots_.push_back(SlotId(slot));
}

void Scheduler::on_transient_failure(const std::string& why) {
  log_info(kComponent, "{} steps are written off: {}", in_flight_.size(), why);
  write_off_steps();
  // Failing again without success in between: perhaps a stage has restarted and lost what is cached.
  if (backoff_ != net::Duration{}) cache_.clear();
  last_trouble_ = why;
  if (!in_trouble()) trouble_since_ = clock_.now();
  backoff_ = std::clamp(backoff_ * 2, kFirstBackoff, kLongestBackoff);
  retry_at_ = clock_.now() + backoff_;
  clock_.cancel(retry_timer_);
  retry_timer_ = clock_.run_after(backoff_, [this] {
    retry_timer_ = 0;
    retry_at_.reset();
    pump();
  });
  report_queue();
}

void Scheduler::measure(const InFlight& flight, const wire::ComputeTime& computed) {
  last_answer_ = clock_.now();
  const double trip_s = seconds(last_answer_ - flight.sent_at);
  if (flight.rows == 0) return;
  smooth(trip_s_, trip_s);
  // What was sent ahead waited for the step before.
  if (flight.rows <= kFewRows && !flight.was_ahead()) step_cost_.measure(flight.rows, trip_s);
  // No stage computed for longer than the trip took, whatever a peer says.
  const double slowest_s = std::min(computed.slowest_us / 1e6, trip_s),
               all_s = std::min(computed.all_us / 1e6, trip_s);
  if (flight.rows >= 8 && slowest_s > 0) smooth(seconds_per_row_, slowest_s / flight.rows);
  depth_.measure(flight.rows, slowest_s, all_s);
}

}  // namespace exo::serve
