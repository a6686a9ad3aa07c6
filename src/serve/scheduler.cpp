#include "serve/scheduler.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/log.h"
#include "serve/measures.h"

namespace exo::serve {
namespace {

using wire::FinishReason;

constexpr std::string_view kComponent = "scheduler";
constexpr auto kWatchInterval = std::chrono::seconds(1);

SchedulerConfig checked(SchedulerConfig config) {
  EXO_CHECK(!config.stage_nodes.empty() && config.block_positions > 0);
  const int64_t held = int64_t{config.n_blocks} * config.block_positions;
  config.context_tokens = static_cast<int32_t>(std::min<int64_t>(config.context_tokens, held));
  return config;
}

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
