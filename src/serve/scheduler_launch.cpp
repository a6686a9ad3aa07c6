// Scheduler's choice of what the next micro-batch computes.

#include <algorithm>

#include "serve/scheduler.h"

namespace exo::serve {
namespace {

constexpr int32_t kFirstChunkRows = 32;  // until a step has been measured
constexpr int32_t kLeastChunkRows = 16;  // however slow the ring is
constexpr int32_t kOldestPart = 4;       // a quarter of a chunk's rows

int32_t ceil_div(int64_t a, int64_t b) { return static_cast<int32_t>((a + b - 1) / b); }

}  // namespace

void Scheduler::pump() {
  if (can_launch()) {
    admit_waiting();
    if (backoff_ == net::Duration{}) trouble_since_.reset();
    while (working() < micro_batches_wanted()) {
      const uint64_t preempted = totals_.preemptions;
      if (launch()) {
        admit_waiting();
      } else if (totals_.preemptions == preempted) {
        break;
      }  // else: those that are left may have room now
    }
    launch_ahead();
    close_idle_slots();
  } else if (!known_.empty() && !in_trouble() && !retry_at_) {
    trouble_since_ = clock_.now();
  }
  report_queue();
}

bool Scheduler::can_launch() const { return ready_ && missing_links_.empty() && !retry_at_; }

size_t Scheduler::working() const {
  return static_cast<size_t>(std::ranges::count_if(in_flight_, &InFlight::is_due));
}

size_t Scheduler::micro_batches_wanted() const {
  int32_t n_decoding = 0;
  for (const auto& [arrival, sequence] : running_) n_decoding += sequence->decoding();
  const int32_t prompts = prompt_rows();
  const int32_t for_prompts = prompts > 0 ? depth_.for_chunks(depth_.chunk_rows(prompts)) : 0;
  return static_cast<size_t>(std::max(depth_.for_decodes(n_decoding), for_prompts));
}

void Scheduler::admit_waiting() {
  for (auto at = waiting_.begin(); at != waiting_.end() && !free_slots_.empty();) {
    const SequencePtr next = at->second;
    if (awaits_ && awaits_(next->tokens)) {
      ++at;
      continue;
    }
    if (!admit(next)) return;
    at = waiting_.erase(at);
    running_.emplace(next->arrival, next);
    next->reported_place = 0;
    queue_changed_ = true;
  }
}

bool Scheduler::admit(const SequencePtr& sequence) {
  PrefixCache::Match found;
  if (!config_.keeps_state) found = cache_.match(sequence->tokens);
  const int64_t headroom = std::min(sequence->remaining, config_.block_positions);
  const int32_t wanted = ceil_div(sequence->size() + headroom, config_.block_positions);
  const int32_t missing = wanted - static_cast<int32_t>(found.blocks.size());
  // One block is left for each running sequence, or the next tokens would already preempt somebody.
  if (cache_.available() < missing + static_cast<int32_t>(running_.size())) {
    cache_.release(found.blocks);
    return false;
  }
  sequence->blocks = std::move(found.blocks);
  sequence->chain = found.chain;
  sequence->chained_blocks = sequence->blocks.size();
  sequence->cached = static_cast<int32_t>(sequence->blocks.size()) * config_.block_positions;
  sequence->sent = sequence->confirmed = sequence->cached;
  sequence->prefill_end = sequence->size();
  while (static_cast<int32_t>(sequence->blocks.size()) < wanted) sequence->blocks.push_back(*cache_.allocate());
  sequence->slot = free_slots_.back();
  free_slots_.pop_back();
  totals_.cached_tokens += static_cast<uint64_t>(sequence->cached);
  note(*sequence, wire::TraceEventKind::kAdmitted, sequence->cached);
  order_guesses(*sequence, 0);
  return true;
}

bool Scheduler::grow_table(const SequencePtr& sequence) {
  while (int64_t{config_.block_positions} * static_cast<int64_t>(sequence->blocks.size()) < sequence->size()) {
    if (const auto block = cache_.allocate()) {
      sequence->blocks.push_back(*block);
      continue;
    }
    const SequencePtr youngest = running_.rbegin()->second;
    ++totals_.preemptions;
    requeue(youngest);
    if (youngest == sequence) return false;
  }
  return true;
}

bool Scheduler::launch() {
  chosen_.clear();
  int32_t rows_left = config_.max_batch_rows;
  if (!choose_suspect()) {
    choose_decodes(rows_left);
    choose_guesses(rows_left);
    choose_prefills(rows_left);
  }
  if (chosen_.empty()) return false;
  wire::Step step;
  InFlight flight;
  for (Choice& choice : chosen_) add_part(step, flight, choice);
  send(std::move(step), std::move(flight));
  return true;
}

bool Scheduler::choose_suspect() {
  for (const auto& [arrival, sequence] : running_) {
    if (!sequence->suspect || sequence->pending() == 0) continue;
    if (!grow_table(sequence)) return false;  // running_ has changed; its turn comes
    const int32_t budget = std::min(config_.max_batch_rows, affordable_rows(false));
    const int32_t chunk = depth_.chunk_rows(sequence->prefill_end - sequence->cached);
    chosen_.push_back({sequence, std::min({budget, chunk, sequence->pending()}), {}});
    return true;
  }
  return false;
}

void Scheduler::choose_decodes(int32_t& rows_left) {
  candidates_.clear();
  int32_t n_decoding = 0;
  for (const auto& [arrival, sequence] : running_) {
    if (sequence->suspect || !sequence->decoding()) continue;
    ++n_decoding;
    if (sequence->pending() > 0) candidates_.push_back(sequence);
  }
  std::erase_if(candidates_, [&](const auto& sequence) { return waits_for_guesses(*sequence, n_decoding); });
  // Split into micro-batches, so that each stage has one to work on; who waited longest goes first.
  const int32_t group = std::min(ceil_div(n_decoding, depth_.for_decodes(n_decoding)), rows_left);
  std::ranges::stable_sort(candidates_, {}, &Sequence::last_step);
  if (candidates_.size() > static_cast<size_t>(group)) candidates_.resize(static_cast<size_t>(group));
  std::ranges::sort(candidates_, {}, &Sequence::arrival);  // the oldest takes blocks first: it is never preempted
  for (const auto& sequence : candidates_)
    if (sequence->slot.value >= 0) grow_table(sequence);
  for (const auto& sequence : candidates_) {
    if (sequence->slot.value < 0) continue;
    chosen_.push_back({sequence, 1, {}});
    --rows_left;
  }
}

void Scheduler::choose_guesses(int32_t& rows_left) {
  if (!takes_guesses() || chosen_.empty()) return;
  StepCost cost = step_cost_.cost();
  cost.fixed_s /= static_cast<double>(chosen_.size());  // sequences of one step share it
  for (Choice& choice : chosen_) {
    Sequence& sequence = *choice.sequence;
    choice.guesses =
        sequence.guesser.choose(sequence.tokens, cost, std::min(most_guesses(sequence), std::max(rows_left, 0)));
    auto& tokens = choice.guesses.tokens;
    const int32_t count = reserve_positions(sequence, static_cast<int32_t>(tokens.size()));
    tokens.resize(static_cast<size_t>(count));
    rows_left -= count;
  }
}

// Makes room behind the sequence as far as nobody is hurt: for how many of `count` positions there is some.
int32_t Scheduler::reserve_positions(Sequence& sequence, int32_t count) {
  const auto room = [&] {
    return static_cast<int64_t>(sequence.blocks.size()) * config_.block_positions - sequence.size();
  };
  while (room() < count && cache_.available() > static_cast<int32_t>(running_.size())) {
    sequence.blocks.push_back(*cache_.allocate());
  }
  return static_cast<int32_t>(std::clamp<int64_t>(room(), 0, count));
}

// What is nearest to its first token goes first: most requests then begin to answer early, and the last no later.
// Part of the rows is for who came first, so that nobody waits for as long as others come.
void Scheduler::choose_prefills(int32_t& rows_left) {
  candidates_.clear();
  bool beside_decodes = false;
  for (const auto& [arrival, sequence] : running_) {
    if (sequence->decoding()) {
      beside_decodes = true;
    } else if (!sequence->suspect && sequence->pending() > 0) {
      candidates_.push_back(sequence);
    }
  }
  if (candidates_.empty()) return;
  int32_t budget = std::min({rows_left, affordable_rows(beside_decodes), depth_.chunk_rows(prompt_rows())});
  const SequencePtr oldest = candidates_.front();
  const int32_t kept = std::min(ceil_div(budget, kOldestPart), oldest->pending());
  budget -= kept;
  std::ranges::stable_sort(candidates_, {}, [](const auto& sequence) { return sequence->pending(); });
  for (const auto& sequence : candidates_) {
    const int32_t own = sequence == oldest ? kept : 0;
    const int32_t more = std::clamp(sequence->pending() - own, 0, budget);
    if (own + more == 0) continue;
    chosen_.push_back({sequence, own + more, {}});
    budget -= more;
    rows_left -= own + more;
  }
}

int32_t Scheduler::affordable_rows(bool beside_decodes) const {
  if (seconds_per_row_ == 0) return previous_serves_ ? kLeastChunkRows : kFirstChunkRows;
  const double target_s = previous_serves_ ? config_.chunk_s_beside_previous
                          : beside_decodes ? config_.chunk_s_beside_decodes
                                           : config_.chunk_s_alone;
  return static_cast<int32_t>(std::clamp(target_s / seconds_per_row_, double{kLeastChunkRows}, 1e6));
}

int32_t Scheduler::prompt_rows() const {
  int32_t rows = 0;
  for (const auto& [arrival, sequence] : running_)
    if (!sequence->decoding()) rows += sequence->prefill_end - sequence->cached;
  return rows;
}

void Scheduler::add_part(wire::Step& step, InFlight& flight, Choice& choice) {
  Sequence& s = *choice.sequence;
  const int32_t first = s.sent;
  const int32_t end = first + choice.count;
  const auto drafted = static_cast<int32_t>(choice.guesses.tokens.size());
  const auto assumed = static_cast<int32_t>(s.assumed.size());
  wire::StepSequence part{.slot = s.slot, .first = Position(first + assumed), .n_tokens = choice.count + drafted};
  part.request = s.id;
  part.wants_logits = end == s.size();
  part.first_block = static_cast<int32_t>(s.blocks_sent);
  part.blocks.assign(s.blocks.begin() + static_cast<ptrdiff_t>(s.blocks_sent), s.blocks.end());
  s.blocks_sent = s.blocks.size();
  if (part.wants_logits && !s.opened) {
    s.opened = true;
    part.opening = wire::SlotOpening{s.sampler, {}, s.prompt_tokens};
    if (s.sampler.needs_history()) part.opening->history = s.tokens;
  }
  step.tokens.insert(step.tokens.end(), s.tokens.begin() + first, s.tokens.begin() + end);
  step.tokens.insert(step.tokens.end(), choice.guesses.tokens.begin(), choice.guesses.tokens.end());
  part.draft = choice.guesses.tokens;
  s.sent = end;
  s.last_step = next_step_.value;
  s.assumed.insert(s.assumed.end(), part.draft.begin(), part.draft.end());
  const bool ahead = part.is_ahead();
  flight.parts.push_back(
      {choice.sequence, s.run, end, drafted, choice.guesses.source, part.wants_logits, s.line, ahead, !ahead});
  if (part.wants_logits) order_ahead(s);
  flight.rows += part.n_tokens;
  step.sequences.push_back(std::move(part));
}

void Scheduler::send(wire::Step step, InFlight flight) {
  step.fingerprint = config_.fingerprint;
  step.epoch = config_.epoch;
  step.micro_batch = flight.id = next_step_;
  ++next_step_;
  step.closed_slots = std::move(closed_slots_);
  closed_slots_.clear();
  flight.sent_at = clock_.now();
  flight.launched = clock_.steady_now();
  in_flight_.push_back(std::move(flight));
  watch();
  port_.send_step(std::move(step));
}

void Scheduler::close_idle_slots() {
  if (!in_flight_.empty() || !running_.empty() || closed_slots_.empty()) return;
  send({}, {});
}

}  // namespace exo::serve
