#include "serve/scheduler.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/log.h"

namespace exo::serve {
namespace {

using wire::FinishReason;

constexpr std::string_view kComponent = "scheduler";
constexpr int32_t kFewRows = 32;  // a step of decoding sequences, not of prefill
constexpr auto kWatchInterval = std::chrono::seconds(1);
constexpr net::Duration kFirstBackoff = std::chrono::milliseconds(50);
constexpr net::Duration kLongestBackoff = std::chrono::seconds(2);

SchedulerConfig checked(SchedulerConfig config) {
  EXO_CHECK(!config.stage_nodes.empty() && config.block_positions > 0);
  const int64_t held = int64_t{config.n_blocks} * config.block_positions;
  config.context_tokens = static_cast<int32_t>(std::min<int64_t>(config.context_tokens, held));
  return config;
}

// The step itself is sound, but it or an earlier one did not get through.
bool is_transient(ErrorCode code) {
  return code == ErrorCode::kUnavailable || code == ErrorCode::kCancelled || code == ErrorCode::kDeadlineExceeded;
}

double seconds(net::Duration duration) { return std::chrono::duration<double>(duration).count(); }

void smooth(double& average, double value) { average = average == 0 ? value : 0.7 * average + 0.3 * value; }

}  // namespace

Scheduler::Scheduler(net::Clock& clock, SchedulerPort& port, SchedulerConfig config)
    : clock_(clock),
      port_(port),
      config_(checked(std::move(config))),
      cache_(config_.n_blocks, config_.block_positions),
      next_step_(config_.first_micro_batch),
      depth_(static_cast<int32_t>(config_.stage_nodes.size())) {
  for (int32_t slot = config_.max_slots; slot-- > 0;) free_slots_.push_back(SlotId(slot));
}

Scheduler::~Scheduler() {
  clock_.cancel(retry_timer_);
  clock_.cancel(watch_timer_);
  clock_.cancel(patience_timer_);
}

// ---- requests -------------------------------------------------------------------------------------------------

void Scheduler::submit(const NodeId& front, wire::SubmitRequest request) {
  const auto n_tokens = static_cast<int64_t>(request.tokens.size());
  if (n_tokens == 0 || request.prompt_tokens < 1 || request.prompt_tokens > n_tokens || request.max_new_tokens < 1)
    return refuse(front, request.request,
                  {ErrorCode::kInvalidArgument, "a request without prompt or room to answer"});
  if (n_tokens >= config_.context_tokens)
    return refuse(front, request.request,
                  {ErrorCode::kInvalidArgument,
                   fmt::format("{} tokens do not fit the context of {}", n_tokens, config_.context_tokens)});
  for (const TokenId token : request.tokens)
    if (token.value < 0 || (config_.n_vocab > 0 && token.value >= config_.n_vocab))
      return refuse(front, request.request,
                    {ErrorCode::kInvalidArgument, fmt::format("token {} is not in the vocabulary", token)});

  uint64_t arrival = 0;
  if (const auto known = known_.find(request.request); known != known_.end()) {
    const SequencePtr old = known->second;
    if (old->front != front) return;  // ids are random: somebody else's request is not replaced
    if (old->tokens == request.tokens && old->prompt_tokens == request.prompt_tokens) return report_status(*old);
    arrival = old->arrival;
    remove(old);
  } else if (waiting_.size() >= config_.queue_limit) {
    return refuse(front, request.request,
                  {ErrorCode::kResourceExhausted, fmt::format("{} requests are waiting already", waiting_.size())});
  }

  auto sequence = std::make_shared<Sequence>();
  sequence->id = request.request;
  sequence->front = front;
  sequence->arrival = arrival != 0 ? arrival : next_arrival_++;
  sequence->prompt_tokens = request.prompt_tokens;
  sequence->submitted_tokens = static_cast<int32_t>(n_tokens);
  sequence->remaining =
      static_cast<int32_t>(std::min<int64_t>(request.max_new_tokens, config_.context_tokens - n_tokens));
  sequence->tokens = std::move(request.tokens);
  sequence->stop_tokens = std::move(request.stop_tokens);
  sequence->sampler = std::move(request.sampler);
  sequence->guesser = Guesser(draft_acceptance_);
  note(*sequence, wire::TraceEventKind::kQueued, static_cast<int64_t>(waiting_.size()));
  known_.emplace(sequence->id, sequence);
  waiting_.emplace(sequence->arrival, sequence);
  queue_changed_ = true;
  watch();
  pump();
  // A request that was admitted at once is told so: silence would look like a lost message to its front.
  if (sequence->slot.value >= 0) report_status(*sequence);
}

void Scheduler::cancel(const NodeId& front, const RequestId& request) {
  const auto known = known_.find(request);
  if (known == known_.end() || known->second->front != front) return;
  remove(SequencePtr(known->second));
  pump();
}

void Scheduler::refuse(const NodeId& front, const RequestId& id, Error error) {
  wire::RequestUpdate update{.request = id, .epoch = config_.epoch, .finish = FinishReason::kError};
  update.error_code = error.code;
  update.error = std::move(error.message);
  port_.send_update(front, std::move(update));
}

wire::RequestUpdate Scheduler::update_for(const Sequence& sequence) const {
  wire::RequestUpdate update{.request = sequence.id, .epoch = config_.epoch, .index = sequence.size()};
  update.prefilled_tokens = std::min(sequence.confirmed, sequence.prefill_end);
  update.cached_tokens = sequence.cached;
  return update;
}

void Scheduler::report_status(Sequence& sequence) {
  wire::RequestUpdate update = update_for(sequence);
  if (sequence.slot.value < 0) update.queue_position = std::max(1, sequence.reported_place);
  port_.send_update(sequence.front, std::move(update));
}

void Scheduler::note(const Sequence& sequence, wire::TraceEventKind kind, int64_t value) const {
  constexpr std::array<std::string_view, 3> kNames = {"queued", "admitted", "requeued"};  // from kQueued on
  log_debug(kComponent, "request={} epoch={} {} value={} front={}", sequence.id.hex(), config_.epoch.counter,
            kNames.at(static_cast<size_t>(kind) - static_cast<size_t>(wire::TraceEventKind::kQueued)), value,
            sequence.front.short_hex());
  if (config_.trace != nullptr)
    config_.trace->add_event(sequence.id,
                             {kind, ring::trace_ns(clock_.steady_now()), value, config_.epoch, sequence.front});
}

void Scheduler::note_trip(const InFlight& flight) const {
  if (config_.trace == nullptr || flight.parts.empty()) return;
  std::vector<RequestId> requests;
  for (const Part& part : flight.parts) requests.push_back(part.sequence->id);
  const int64_t launched = ring::trace_ns(flight.launched), answered = ring::trace_ns(clock_.steady_now());
  config_.trace->add_step({.epoch = config_.epoch,
                           .micro_batch = flight.id,
                           .stage = -1,
                           .rows = flight.rows,
                           .sequences = static_cast<int32_t>(flight.parts.size()),
                           .arrived_ns = launched,
                           .began_ns = launched,
                           .computed_ns = answered,
                           .sent_ns = answered},
                          std::move(requests));
}

void Scheduler::report_queue() {
  if (!queue_changed_) return;
  queue_changed_ = false;
  int32_t place = 0;
  for (const auto& [arrival, sequence] : waiting_) {
    if (sequence->reported_place == ++place) continue;
    sequence->reported_place = place;
    report_status(*sequence);
  }
}

void Scheduler::give_back(Sequence& sequence) {
  ++sequence.run;
  ++sequence.line;
  sequence.assumed.clear();
  lose_guesses(sequence);
  if (sequence.slot.value < 0) return;
  free_slots_.push_back(sequence.slot);
  closed_slots_.push_back(sequence.slot);
  cache_.release(sequence.blocks);
  sequence.slot = SlotId(-1);
  sequence.blocks.clear();
  sequence.blocks_sent = sequence.chained_blocks = 0;
  sequence.sent = sequence.confirmed = sequence.prefill_end = sequence.cached = 0;
  sequence.opened = false;
  sequence.chain = 0;
}

void Scheduler::requeue(const SequencePtr& sequence) {
  note(*sequence, wire::TraceEventKind::kRequeued, sequence->confirmed);
  give_back(*sequence);
  running_.erase(sequence->arrival);
  waiting_.emplace(sequence->arrival, sequence);
  sequence->reported_place = -1;
  queue_changed_ = true;
}

void Scheduler::remove(const SequencePtr& sequence) {
  give_back(*sequence);
  running_.erase(sequence->arrival);
  queue_changed_ |= waiting_.erase(sequence->arrival) > 0;
  known_.erase(sequence->id);
  if (sequence->guesser.draft_was_tried()) smooth(draft_acceptance_, sequence->guesser.draft_acceptance());
  if (drafter_) drafter_->forget(sequence->arrival);
}

void Scheduler::finish(const SequencePtr& sequence, FinishReason reason, std::vector<SampledToken> tokens,
                       Error error) {
  wire::RequestUpdate update = update_for(*sequence);
  update.index -= static_cast<int32_t>(tokens.size());
  update.tokens = std::move(tokens);
  update.finish = reason;
  if (reason == FinishReason::kError) {
    update.error_code = error.code;
    update.error = std::move(error.message);
  }
  port_.send_update(sequence->front, std::move(update));
  remove(sequence);
}

void Scheduler::end_all(const Error& error, bool running_only) {
  std::vector<SequencePtr> ended;
  for (const auto& [arrival, sequence] : running_) ended.push_back(sequence);
  if (!running_only)
    for (const auto& [arrival, sequence] : waiting_) ended.push_back(sequence);
  for (const auto& sequence : ended) finish(sequence, FinishReason::kError, {}, error);
}

// ---- answers --------------------------------------------------------------------------------------------------

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

// ---- the ring's state -----------------------------------------------------------------------------------------

void Scheduler::set_ready(bool ready) {
  ready_ = ready;
  pump();
}

// Those that wait for more hear that they are not forgotten.
void Scheduler::take_supply(uint64_t blocks, uint64_t bytes) {
  totals_.carried_blocks += blocks;
  totals_.carried_bytes += bytes;
  pump();
  if (blocks > 0)
    for (const auto& [arrival, sequence] : waiting_) report_status(*sequence);
}

void Scheduler::on_link(const NodeId& peer, bool up) {
  if (!up) {
    std::vector<SequencePtr> gone;
    for (const auto& [id, sequence] : known_)
      if (sequence->front == peer) gone.push_back(sequence);
    for (const auto& sequence : gone) remove(sequence);
  }
  const auto& nodes = config_.stage_nodes;
  const bool of_ring = std::ranges::find(nodes, peer) != nodes.end();
  if (of_ring && !up) {
    last_trouble_ = fmt::format("there is no link to {}, which holds a stage", peer.short_hex());
    if (!in_flight_.empty()) on_transient_failure(last_trouble_);
  }
  // Steps and results need these two; failures of the stages between find another way.
  if (nodes.size() > 1 && (peer == nodes[1] || peer == nodes.back())) {
    if (up) {
      missing_links_.erase(peer);
    } else {
      missing_links_.insert(peer);
    }
  }
  pump();
}

void Scheduler::watch() {
  if (watch_timer_ != 0) return;
  watch_timer_ = clock_.run_after(kWatchInterval, [this] { on_watch(); });
}

void Scheduler::on_watch() {
  watch_timer_ = 0;
  const auto now = clock_.now();
  if (known_.empty()) trouble_since_.reset();
  if (!in_flight_.empty()) {
    const auto since = std::max(in_flight_.front().sent_at, last_answer_);
    const auto stretched = std::chrono::duration_cast<net::Duration>(std::chrono::duration<double>(8 * trip_s_));
    if (now - since > std::max(config_.step_deadline, stretched)) {
      end_all({ErrorCode::kDeadlineExceeded,
               fmt::format("the ring did not answer a step for {:.0f} s", seconds(now - since))},
              true);
      write_off_steps();
    }
  }
  // While a step is on its way its own deadline counts first: a replay on a slow ring takes long.
  const auto trouble_deadline =
      config_.trouble_deadline + (in_flight_.empty() ? net::Duration{} : config_.step_deadline);
  if (in_trouble() && now - *trouble_since_ > trouble_deadline) {
    end_all({ErrorCode::kUnavailable, last_trouble_.empty() ? "the ring is not ready" : last_trouble_}, false);
    trouble_since_.reset();
  }
  pump();
  if (!known_.empty() || !in_flight_.empty()) watch();
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

SchedulerStatistics Scheduler::statistics() const {
  SchedulerStatistics now = totals_;
  now.waiting = waiting_.size();
  now.running = running_.size();
  now.in_flight = in_flight_.size();
  now.free_slots = static_cast<int32_t>(free_slots_.size());
  now.available_blocks = cache_.available();
  now.n_blocks = cache_.size();
  return now;
}

}  // namespace exo::serve
