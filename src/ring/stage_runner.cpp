#include "ring/stage_runner.h"

#include <algorithm>

#include "base/check.h"
#include "base/log.h"

namespace exo::ring {
namespace {

constexpr std::string_view kComponent = "ring";

uint64_t count_rows(const wire::Step& step) {
  uint64_t rows = 0;
  for (const auto& sequence : step.sequences) rows += static_cast<uint64_t>(std::max(sequence.n_tokens, 0));
  return rows;
}

}  // namespace

StageRunner::StageRunner(net::Clock& clock, net::Transport& transport, const wire::InstanceRecord& record,
                         int32_t stage_index)
    : clock_(clock),
      transport_(transport),
      fingerprint_(record.fingerprint),
      epoch_(record.epoch),
      index_(stage_index),
      n_stages_(static_cast<int32_t>(record.stages.size())),
      self_(transport.self()) {
  EXO_CHECK(stage_index >= 0 && stage_index < n_stages_);
  for (const auto& stage : record.stages) nodes_.push_back(stage.node);
  first_ = nodes_.front();
  last_ = nodes_.back();
  leader_ = nodes_[static_cast<size_t>(index_)];
  for (const auto& member : record.stages[static_cast<size_t>(index_)].members) {
    if (member.node != self_) members_.push_back(member.node);
  }
  if (index_ > 0) previous_ = nodes_[static_cast<size_t>(index_) - 1];
  if (index_ + 1 < n_stages_) next_ = nodes_[static_cast<size_t>(index_) + 1];
}

bool StageRunner::is_stage_node(const NodeId& node) const {
  return std::ranges::find(nodes_, node) != nodes_.end();
}

std::unique_ptr<StageExecutor> StageRunner::set_executor(std::unique_ptr<StageExecutor> executor,
                                                         int32_t max_slots) {
  std::swap(executor_, executor);
  max_slots_ = max_slots;
  forget_slots_ = newest_.value != 0;
  alive_ = std::make_shared<bool>(true);  // what the old executor still computes is nobody's business any more
  if (computing_ > 0)
    report_failure(newest_, ErrorCode::kUnavailable, fmt::format("stage {} was loaded anew", index_));
  computing_ = 0;
  while (executor_ && !waiting_.empty()) {
    wire::Step step = std::move(waiting_.front());
    waiting_.pop_front();
    compute(std::move(step));
  }
  return executor;
}

void StageRunner::run(wire::Step step) { take(std::move(step)); }

void StageRunner::on_step(const NodeId& from, wire::Step step) {
  if (is_first() || from != (leads() ? previous_ : leader_)) {
    log_warning(kComponent, "a step from {} is refused: it is not the stage before", from.short_hex());
    return;
  }
  take(std::move(step));
}

void StageRunner::take(wire::Step step) {
  if (step.micro_batch <= newest_) return;  // delivered before the link flapped
  if (step.micro_batch.value != newest_.value + 1) forget_slots_ = true;
  newest_ = step.micro_batch;
  if (executor_) return compute(std::move(step));
  if (waiting_.size() >= kMaxWaitingSteps) {
    forget_slots_ = true;
    return report_failure(step.micro_batch, ErrorCode::kUnavailable, "the stage is still loading");
  }
  waiting_.push_back(std::move(step));
}

// False: a member cannot be told, so that nobody can compute the step.
bool StageRunner::pass_on(const wire::Step& step) {
  for (const NodeId& member : members_) {
    if (!transport_.send(member, step)) return false;
  }
  return true;
}

void StageRunner::compute(wire::Step step) {
  if (leads() && !pass_on(step)) {
    forget_slots_ = true;
    executor_->interrupt(step.micro_batch);
    return report_failure(step.micro_batch, ErrorCode::kUnavailable, "a member of the stage's group has no link");
  }
  if (forget_slots_) {
    forget_slots_ = false;
    step.closed_slots.clear();
    for (int32_t slot = 0; slot < max_slots_; ++slot) step.closed_slots.push_back(SlotId(slot));
  }
  Trip trip{.micro_batch = step.micro_batch,
            .n_rows = count_rows(step),
            .arrived = clock_.steady_now(),
            .compute_time = step.computed};
  for (const auto& sequence : step.sequences) {
    trip.n_wanted += sequence.wants_logits;
    trip.requests.push_back(sequence.request);
  }
  if (!is_last()) {
    trip.sequences = step.sequences;
    trip.closed_slots = step.closed_slots;
  }
  if (watcher_) watcher_(step);
  ++computing_;
  counters_.last_step = clock_.now();
  auto shared_trip = std::make_shared<Trip>(std::move(trip));
  executor_->execute(std::move(step),
                     [this, alive = std::weak_ptr<bool>(alive_), shared_trip](Result<StageOutput> output) {
                       if (!alive.expired()) on_computed(*shared_trip, std::move(output));
                     });
}

void StageRunner::on_computed(Trip& trip, Result<StageOutput> output) {
  --computing_;
  if (!output) {
    ++counters_.failures;
    note(trip, 0, true);
    return report_failure(trip.micro_batch, output.error().code, std::move(output.error().message));
  }
  ++counters_.steps;
  counters_.rows += trip.n_rows;
  counters_.compute_s += output->compute_s;
  trip.began = output->began;
  trip.computed = output->ended;
  if (output->ended != net::SteadyPoint{}) trip.compute_time.add(output->ended - output->began);
  if (!leads()) return note(trip, 0, false);
  hand_on(trip, std::move(*output));
}

void StageRunner::hand_on(Trip& trip, StageOutput output) {
  newest_out_ = trip.micro_batch;
  if (!is_last()) {
    wire::Step step{.fingerprint = fingerprint_, .epoch = epoch_, .micro_batch = trip.micro_batch};
    step.sequences = std::move(trip.sequences);
    step.closed_slots = std::move(trip.closed_slots);
    step.activations = std::move(output.activations);
    step.computed = trip.compute_time;
    const uint64_t sent_bytes = step.activations.size() * sizeof(float);
    const bool sent = transport_.send(next_, std::move(step));
    note(trip, sent_bytes, !sent);
    if (!sent)
      report_failure(trip.micro_batch, ErrorCode::kUnavailable,
                     fmt::format("no link from stage {} to stage {}", index_, index_ + 1));
    return;
  }
  if (output.counts.size() != trip.n_wanted)
    return report_failure(trip.micro_batch, ErrorCode::kInternal,
                          "the last stage sampled for another number of sequences");
  wire::StepResult result{
      fingerprint_,     epoch_, trip.micro_batch, std::move(output.tokens), std::move(output.counts),
      trip.compute_time};
  if (!is_first()) {
    // Without a link the first stage knows by itself that what it waits for is lost.
    const bool sent = transport_.send(first_, std::move(result));
    note(trip, 0, !sent);
    if (!sent) log_debug(kComponent, "no link to the first stage for the result of step {}", trip.micro_batch);
  } else if (sink_) {
    note(trip, 0, false);
    sink_->on_step_result(std::move(result));
  }
}

// Executors that say nothing about when they computed are taken to have done so all the time.
void StageRunner::note(const Trip& trip, uint64_t sent_bytes, bool failed) const {
  if (trip.requests.empty()) return;
  const auto now = clock_.steady_now();
  const bool timed = trip.computed != net::SteadyPoint{};
  const wire::StepTrace trace{.epoch = epoch_,
                              .micro_batch = trip.micro_batch,
                              .stage = index_,
                              .rows = static_cast<int32_t>(trip.n_rows),
                              .sequences = static_cast<int32_t>(trip.requests.size()),
                              .arrived_ns = trace_ns(trip.arrived),
                              .began_ns = trace_ns(timed ? trip.began : trip.arrived),
                              .computed_ns = trace_ns(timed ? trip.computed : now),
                              .sent_ns = trace_ns(now),
                              .sent_bytes = sent_bytes,
                              .failed = failed};
  log_step(kComponent, trace, trip.requests);
  if (trace_ != nullptr) trace_->add_step(trace, trip.requests);
}

void StageRunner::report_failure(MicroBatchId micro_batch, ErrorCode code, std::string message) {
  log_debug(kComponent, "step {} failed at stage {}: {}", micro_batch, index_, message);
  if (!leads()) return;  // whose step fails too
  wire::StepFailed failed{fingerprint_, epoch_, micro_batch, code, std::move(message)};
  if (!is_first()) return relay_failure(std::move(failed));
  clock_.post([this, alive = std::weak_ptr<bool>(alive_), failed = std::move(failed)] {
    if (!alive.expired() && sink_) sink_->on_step_failed(failed);
  });
}

void StageRunner::relay_failure(wire::StepFailed failed) {
  if (is_first() || transport_.send(first_, failed)) return;
  transport_.send(previous_, std::move(failed));
}

void StageRunner::on_link_down(const NodeId& peer) {
  // Of a step that did not reach a member the others wait in vain.
  if (executor_ && std::ranges::find(members_, peer) != members_.end()) executor_->interrupt(newest_);
  if (!leads()) return;
  const bool from_previous = !is_first() && peer == previous_;
  const bool to_next = !is_last() && peer == next_;
  if (!from_previous && !to_next) return;
  // What this stage handed on may be lost; what the stage before sent and did not arrive is told by that stage.
  if (to_next && newest_out_.value != 0)
    report_failure(newest_out_, ErrorCode::kUnavailable,
                   fmt::format("the link from stage {} to stage {} went down", index_, index_ + 1));
}

}  // namespace exo::ring
