#include "serve/front.h"

#include <limits>

#include "base/log.h"
#include "serve/front_impl.h"
#include "serve/timeline.h"

namespace exo::serve {
namespace {

using wire::FinishReason;
using Phase = RequestStatus::Phase;

constexpr auto kTick = std::chrono::milliseconds(250);
constexpr auto kEnsureInterval = std::chrono::seconds(1);
constexpr auto kRetryDelay = std::chrono::milliseconds(200);

}  // namespace

// ---- ring found, ring lost ------------------------------------------------------------------------------------

void Front::Impl::advance(const RequestPtr& request) {
  if (request->finished) return;
  const auto now = clock.now();
  if (now - request->started >= request->asked.deadline)
    return finish(request, FinishReason::kError,
                  Error{ErrorCode::kDeadlineExceeded,
                        fmt::format("the request took longer than {:.0f} s", seconds(request->asked.deadline))});
  if (request->submitted) consider_move(request);
  if (request->finished) return;
  if (request->submitted) {
    if (now - request->heard_at < options.silence) return;
    if (!request->silent_since) request->silent_since = request->heard_at;
    if (now - *request->silent_since >= options.resume_deadline)
      return finish(request, FinishReason::kError,
                    Error{ErrorCode::kUnavailable, fmt::format("no news from {}, which holds the first stage",
                                                               request->first_node.short_hex())});
    log_info("front", "no news of request {}: asking again", request->id.hex());
    request->submitted = false;
  }
  if (now < request->next_try) return;
  if (find_ring(request) || request->finished) return;
  if (now - request->waiting_since >= options.resume_deadline)
    finish(request, FinishReason::kError,
           Error{ErrorCode::kUnavailable, fmt::format("no ring for {:.0f} s: {}",
                                                      seconds(now - request->waiting_since), request->obstacle)});
}

// True when the request is submitted.
bool Front::Impl::find_ring(const RequestPtr& request) {
  const auto view = cluster.find_instance(request->asked.fingerprint);
  if (!view || view->record.stopped || view->record.stages.empty()) {
    if (view && view->record.stopped && request->was_submitted) {
      finish(request, FinishReason::kError, Error{ErrorCode::kUnavailable, "the model was unloaded"});
      return false;
    }
    const bool unplaceable = view && !view->record.stopped && !view->record.problem.empty();
    request->obstacle = unplaceable ? view->record.problem : "the model is not placed yet";
    if (unplaceable) on_problem(request, {ErrorCode::kResourceExhausted, view->record.problem});
    if (!request->finished) ensure(request);
    return false;
  }
  RequestStatus status{.phase = request->was_submitted ? Phase::kResuming : Phase::kLoading};
  status.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  for (const auto& stage : view->statuses) {
    status.loaded_bytes += stage.done_bytes;
    status.total_bytes += stage.total_bytes;
  }
  if (view->record.epoch != request->seen_epoch || status.loaded_bytes > request->seen_bytes) progress(*request);
  request->seen_epoch = view->record.epoch;
  request->seen_bytes = status.loaded_bytes;
  if (view->ready) {
    submit(request, view->record);
    return request->submitted;
  }
  if (view->previous_ready) {
    submit(request, cluster::previous_record(view->record));
    return request->submitted;
  }
  request->obstacle = "its stages are still loading";
  for (const auto& stage : view->statuses)
    if (stage.state == wire::StageState::kFailed)
      on_problem(request, {ErrorCode::kUnavailable, fmt::format("a stage failed to load: {}", stage.error)});
  if (!request->finished) set_status(request, status);
  return false;
}

int32_t Front::Impl::context_of(const wire::InstanceRecord& record) const {
  int32_t context = record.context_tokens;
  for (const auto& facts : cluster.models())
    if (facts.fingerprint == record.fingerprint && facts.context_length > 0)
      context = std::min(context, facts.context_length);
  return context;
}

void Front::Impl::submit(const RequestPtr& request, const wire::InstanceRecord& record) {
  const int32_t context = context_of(record);
  const auto n_tokens = static_cast<int64_t>(request->tokens.size());
  if (n_tokens >= context) {
    if (request->generated() > 0) return finish(request, FinishReason::kLength, {});
    return finish(
        request, FinishReason::kError,
        Error{ErrorCode::kInvalidArgument,
              fmt::format("the prompt has {} tokens, the context holds {} with the answer", n_tokens, context)});
  }
  int64_t remaining = context - n_tokens;
  if (request->asked.max_new_tokens > 0)
    remaining =
        std::min<int64_t>(remaining, request->asked.max_new_tokens - static_cast<int64_t>(request->generated()));
  if (remaining <= 0) return finish(request, FinishReason::kLength, {});

  wire::SubmitRequest message{.request = request->id, .fingerprint = record.fingerprint, .epoch = record.epoch};
  message.tokens = request->tokens;
  message.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  message.max_new_tokens = static_cast<int32_t>(remaining);
  message.stop_tokens = request->asked.stop_tokens;
  message.sampler = request->asked.sampler;
  const NodeId first = record.stages.front().node;
  if (!is_linked(first) || !transport.send(first, std::move(message))) {
    request->obstacle = fmt::format("there is no link to {}, which holds the first stage", first.short_hex());
    return;
  }
  const bool again = request->was_submitted && (request->epoch != record.epoch || request->first_node != first);
  if (again) ++request->usage.resumed;
  request->submitted = request->was_submitted = true;
  request->first_node = first;
  request->epoch = record.epoch;
  request->heard_at = clock.now();
  request->problem_since.reset();
  note(*request, wire::TraceEventKind::kSubmitted, static_cast<int64_t>(request->tokens.size()));
}

void Front::Impl::detach(const RequestPtr& request, net::Duration retry_after) {
  end_rehearsal(request);
  request->submitted = false;
  request->silent_since.reset();
  note(*request, wire::TraceEventKind::kDetached, static_cast<int64_t>(request->generated()));
  if (!request->unavailable_since) request->waiting_since = clock.now();
  request->next_try = clock.now() + retry_after;
  request->obstacle = "the ring is gone";
  RequestStatus status{.phase = Phase::kResuming};
  status.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  set_status(request, status);
}

// Final at once for a new request; after a grace when the ring or a node was there a moment ago.
void Front::Impl::on_problem(const RequestPtr& request, Error error) {
  const auto now = clock.now();
  if (!request->problem_since) request->problem_since = now;
  const bool nodes_left = lost_member_at && now - *lost_member_at < options.problem_grace;
  const bool may_pass = request->was_submitted || nodes_left || error.code == ErrorCode::kUnavailable;
  request->obstacle = error.message;
  if (!may_pass || now - *request->problem_since >= options.problem_grace)
    finish(request, FinishReason::kError, std::move(error));
}

void Front::Impl::ensure(const RequestPtr& request) {
  if (clock.now() < request->next_ensure) return;
  request->next_ensure = clock.now() + kEnsureInterval;
  RequestStatus status{.phase = request->was_submitted ? Phase::kResuming : Phase::kPlacing};
  status.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  set_status(request, status);
  if (request->finished) return;
  if (auto ensured = cluster.ensure_instance(request->asked.fingerprint); !ensured && !request->finished)
    on_problem(request, std::move(ensured.error()));
}

// ---- news from the ring ---------------------------------------------------------------------------------------

void Front::Impl::on_update(const NodeId& from, wire::RequestUpdate& update) {
  const auto found = requests.find(update.request);
  if (found == requests.end()) {
    if (const auto rehearsed = rehearsals.find(update.request); rehearsed != rehearsals.end())
      return on_rehearsal(RequestPtr(rehearsed->second), from, update);
    if (update.finish == FinishReason::kNone) transport.send(from, wire::CancelRequest{update.request});
    return;
  }
  const RequestPtr request = found->second;
  if (!request->submitted || from != request->first_node || update.epoch != request->epoch) return;
  request->heard_at = clock.now();
  request->silent_since.reset();
  const bool carries_place = update.finish != FinishReason::kError;
  if (carries_place && update.index > static_cast<int32_t>(request->tokens.size())) {
    detach(request, net::Duration{});  // an update was lost
    return advance(request);
  }
  take_progress(request, update);
  if (!request->finished) take_tokens(request, update);
  if (!request->finished && update.finish != FinishReason::kNone) take_finish(request, update);
  if (!request->finished && request->rehearsal && request->rehearsal->waits_until) consider_move(request);
}

void Front::Impl::take_progress(const RequestPtr& request, const wire::RequestUpdate& update) {
  request->usage.cached_tokens = std::max(request->usage.cached_tokens, update.cached_tokens);
  RequestStatus status;
  status.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  status.prefilled_tokens = update.prefilled_tokens;
  status.queue_position = update.queue_position;
  status.phase = update.queue_position > 0 ? Phase::kQueued : Phase::kPrefilling;
  if (update.finish == FinishReason::kError) return;
  request->accepted = true;
  if (update.queue_position == 0 && !request->prefill_began) request->prefill_began = clock.now();
  const bool moved =
      request->status.phase == Phase::kQueued && update.queue_position < request->status.queue_position;
  if (moved || update.prefilled_tokens > update.cached_tokens || !update.tokens.empty()) progress(*request);
  const bool decoding = !update.tokens.empty() || update.finish != FinishReason::kNone;
  if (decoding) {
    status.phase = Phase::kDecoding;
    status.prefilled_tokens = status.prompt_tokens;
  }
  set_status(request, status);
}

void Front::Impl::take_tokens(const RequestPtr& request, wire::RequestUpdate& update) {
  const auto known = static_cast<int64_t>(request->tokens.size());
  const auto skipped = std::max<int64_t>(known - update.index, 0);
  for (size_t i = static_cast<size_t>(skipped); i < update.tokens.size(); ++i) {
    if (!request->first_token) {
      request->first_token = clock.now();
      note(*request, wire::TraceEventKind::kFirstToken, 0);
    }
    if (request->asked.max_new_tokens > 0 &&
        request->generated() >= static_cast<size_t>(request->asked.max_new_tokens))
      return;
    request->tokens.push_back(update.tokens[i].token);
    request->observer->on_token(update.tokens[i]);
    if (request->finished) return;
  }
}

void Front::Impl::take_finish(const RequestPtr& request, wire::RequestUpdate& update) {
  if (update.finish != FinishReason::kError) return finish(request, update.finish, {});
  Error error{update.error_code, std::move(update.error)};
  // A full queue is an answer for new requests; one that a ring had taken waits.
  if (error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kCancelled ||
      (error.code == ErrorCode::kResourceExhausted && request->accepted)) {
    if (!request->unavailable_since) request->unavailable_since = clock.now();
    if (clock.now() - *request->unavailable_since < options.resume_deadline) {
      detach(request, kRetryDelay);
      request->obstacle = error.message;
      return;
    }
  }
  finish(request, FinishReason::kError, std::move(error));
}

// ---- telling --------------------------------------------------------------------------------------------------

void Front::Impl::note(const FrontRequest& request, wire::TraceEventKind kind, int64_t value) const {
  log_debug("front", "request={} epoch={} {} value={} first_stage={}", request.id.hex(), request.epoch.counter,
            event_name(kind), value, request.first_node.short_hex());
  if (options.trace != nullptr)
    options.trace->add_event(request.id,
                             {kind, ring::trace_ns(clock.steady_now()), value, request.epoch, request.first_node});
}

void Front::Impl::set_status(const RequestPtr& request, RequestStatus status) {
  const RequestStatus& last = request->status;
  if (request->told_status && last.phase == status.phase && last.queue_position == status.queue_position &&
      last.prefilled_tokens == status.prefilled_tokens && last.loaded_bytes == status.loaded_bytes &&
      last.total_bytes == status.total_bytes)
    return;
  request->status = status;
  request->told_status = true;
  request->observer->on_status(status);
}

void Front::Impl::count(const FrontRequest& request, FinishReason reason, double first_token_s) {
  const RequestUsage& usage = request.usage;
  ++statistics.finished[static_cast<size_t>(reason)];
  statistics.prompt_tokens += static_cast<uint64_t>(usage.prompt_tokens);
  statistics.cached_tokens += static_cast<uint64_t>(usage.cached_tokens);
  statistics.completion_tokens += static_cast<uint64_t>(usage.completion_tokens);
  statistics.resumed += static_cast<uint64_t>(usage.resumed);
  if (request.prefill_began) statistics.queue.observe(usage.queue_s);
  if (request.first_token) statistics.first_token.observe(first_token_s);
  if (usage.completion_tokens > 1) statistics.per_token.observe(usage.decode_s / (usage.completion_tokens - 1));
}

void Front::Impl::finish(const RequestPtr& request, FinishReason reason, std::optional<Error> error) {
  if (request->finished) return;
  request->finished = true;
  end_rehearsal(request);
  requests.erase(request->id);
  in_order.erase(request->order);
  const auto now = clock.now();
  const auto began = request->prefill_began.value_or(now);
  const auto first = request->first_token.value_or(now);
  request->usage.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  request->usage.completion_tokens = static_cast<int32_t>(request->generated());
  request->usage.cached_tokens = std::min(request->usage.cached_tokens, request->usage.prompt_tokens);
  request->usage.queue_s = seconds(began - request->started);
  request->usage.prefill_s = std::max(0.0, seconds(first - began));
  request->usage.decode_s = seconds(now - first);
  count(*request, reason, seconds(first - request->started));
  note(*request, wire::TraceEventKind::kFinished, request->usage.completion_tokens);
  const auto observer = std::move(request->observer);
  observer->on_finish(reason, error, request->usage);
}

// ---- time -----------------------------------------------------------------------------------------------------

void Front::Impl::arm() {
  if (timer != 0 || requests.empty()) return;
  timer = clock.run_after(kTick, [this] { tick(); });
}

void Front::Impl::tick() {
  timer = 0;
  each([this](const RequestPtr& request) { advance(request); });
  arm();
}

// ---- Front ----------------------------------------------------------------------------------------------------

Front::Front(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster, FrontOptions options)
    : impl_(std::make_unique<Impl>(clock, transport, cluster, options)) {}
Front::~Front() = default;

RequestId Front::start(GenerateRequest request, std::shared_ptr<RequestObserver> observer) {
  auto started = std::make_shared<FrontRequest>();
  started->id = impl_->new_id();
  started->order = impl_->n_started++;
  started->asked = std::move(request);
  started->tokens = started->asked.prompt;
  started->observer = std::move(observer);
  started->started = started->waiting_since = impl_->clock.now();
  started->obstacle = "the model is not placed yet";
  impl_->requests.emplace(started->id, started);
  impl_->in_order.emplace(started->order, started);
  impl_->note(*started, wire::TraceEventKind::kReceived, static_cast<int64_t>(started->tokens.size()));
  impl_->clock.run_after(net::Duration{}, [impl = impl_.get(), weak = std::weak_ptr(started)] {
    // The front owns its requests: while one lives, so does the front.
    const auto next = weak.lock();
    if (!next || next->finished) return;
    if (!impl->closed_because.empty())
      return impl->finish(next, FinishReason::kError, Error{ErrorCode::kUnavailable, impl->closed_because});
    if (next->asked.prompt.empty())
      return impl->finish(next, FinishReason::kError, Error{ErrorCode::kInvalidArgument, "the prompt is empty"});
    impl->advance(next);
  });
  impl_->arm();
  return started->id;
}

void Front::cancel(const RequestId& id) {
  const auto found = impl_->requests.find(id);
  if (found == impl_->requests.end()) return;
  const RequestPtr request = found->second;
  if (request->submitted) impl_->transport.send(request->first_node, wire::CancelRequest{id});
  impl_->finish(request, FinishReason::kCancelled, {});
}

void Front::close(const std::string& why) { impl_->closed_because = why; }

void Front::end(const std::string& why) {
  close(why);
  impl_->each([&](const RequestPtr& request) {
    impl_->finish(request, FinishReason::kError, Error{ErrorCode::kUnavailable, why});
  });
}

const FrontStatistics& Front::statistics() const { return impl_->statistics; }
size_t Front::active_requests() const { return impl_->requests.size(); }

std::vector<wire::RunningRequest> Front::running() const {
  std::vector<wire::RunningRequest> running;
  const auto now = impl_->clock.now();
  for (const auto& [order, request] : impl_->in_order) {
    wire::RunningRequest& entry = running.emplace_back();
    entry.request = request->id;
    entry.fingerprint = request->asked.fingerprint;
    entry.phase = request->status.phase;
    entry.queue_position = request->status.queue_position;
    entry.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
    entry.prefilled_tokens = request->status.prefilled_tokens;
    entry.completion_tokens = static_cast<int32_t>(request->generated());
    entry.resumed = request->usage.resumed;
    entry.age_s = seconds(now - request->started);
    const double decoding_s = request->first_token ? seconds(now - *request->first_token) : 0;
    if (decoding_s > 0) entry.tokens_per_s = std::max(0, entry.completion_tokens - 1) / decoding_s;
  }
  return running;
}

void Front::on_link_up(const net::LinkInfo& link) {
  impl_->linked.insert(link.peer);
  impl_->each([this](const RequestPtr& request) { impl_->advance(request); });
}

void Front::on_link_down(const NodeId& peer, const Error&) {
  impl_->linked.erase(peer);
  impl_->each([&](const RequestPtr& request) {
    if (request->rehearsal && request->rehearsal->node == peer) impl_->end_rehearsal(request);
    if (request->submitted && request->first_node == peer) impl_->detach(request, net::Duration{});
  });
}

bool Front::takes(const wire::Message& message) const {
  return std::holds_alternative<wire::RequestUpdate>(message);
}

void Front::on_message(const NodeId& from, wire::Message message) {
  if (auto* update = std::get_if<wire::RequestUpdate>(&message)) impl_->on_update(from, *update);
}

void Front::on_instance_changed(const cluster::InstanceView& view) {
  impl_->each([&](const RequestPtr& request) {
    if (request->asked.fingerprint != view.record.fingerprint) return;
    const bool on_previous =
        view.previous_ready && view.record.previous && view.record.previous->epoch == request->epoch;
    const bool serves = !view.record.stopped && (view.record.epoch == request->epoch || on_previous);
    if (request->submitted && !serves) {
      impl_->transport.send(request->first_node, wire::CancelRequest{request->id});
      impl_->detach(request, net::Duration{});
    }
    impl_->advance(request);
  });
}

void Front::on_members_changed() {
  const size_t n_members = impl_->cluster.members().size();
  if (n_members < impl_->n_members) impl_->lost_member_at = impl_->clock.now();
  impl_->n_members = n_members;
}

}  // namespace exo::serve
