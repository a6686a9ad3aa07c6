// The front's requests on a ring that still serves, when its successor is ready.

#include "base/log.h"
#include "serve/front_impl.h"

namespace exo::serve {
namespace {

constexpr size_t kFewTokens = 8;  // computed at the move in about the time of a step
constexpr int32_t kMostRounds = 6;
constexpr auto kMostStay = std::chrono::seconds(20);
constexpr auto kMostWaitForBlock = std::chrono::seconds(5);
constexpr auto kRetryRehearsal = std::chrono::milliseconds(500);

}  // namespace

bool Front::Impl::keeps_state(const std::string& fingerprint) const {
  for (const auto& facts : cluster.models())
    if (facts.fingerprint == fingerprint)
      return std::ranges::any_of(facts.state_bytes, [](uint64_t bytes) { return bytes > 0; });
  return false;
}

void Front::Impl::consider_move(const RequestPtr& request) {
  const auto view = cluster.find_instance(request->asked.fingerprint);
  const bool may_move = view && view->ready && !view->record.stopped && view->record.epoch != request->epoch;
  if (request->rehearsal && (!may_move || request->rehearsal->epoch != view->record.epoch)) end_rehearsal(request);
  if (!may_move) return request->may_move_since.reset();
  const auto now = clock.now();
  if (!request->may_move_since) request->may_move_since = now;
  if (!is_linked(view->record.stages.front().node)) return;
  if (request->rehearsal) {
    const auto& rehearsal = *request->rehearsal;
    if (rehearsal.refused && now >= rehearsal.next_try) return rehearse(request, view->record, 1);
    if (rehearsal.waits_until) return await_block(request, view->record);
    if (now - rehearsal.heard_at < options.silence) return;
    return move(request, view->record);
  }
  const bool running = request->status.phase == RequestStatus::Phase::kPrefilling ||
                       request->status.phase == RequestStatus::Phase::kDecoding;
  const bool room = static_cast<int64_t>(request->tokens.size()) + 1 < context_of(view->record);
  if (!running || !room) return move(request, view->record);
  if (!keeps_state(request->asked.fingerprint)) return rehearse(request, view->record, 1);
  if (now - *request->may_move_since >= kMostStay) move(request, view->record);
}

void Front::Impl::rehearse(const RequestPtr& request, const wire::InstanceRecord& record, int32_t rounds) {
  end_rehearsal(request);
  wire::SubmitRequest message{.request = new_id(), .fingerprint = record.fingerprint, .epoch = record.epoch};
  message.tokens = request->tokens;
  message.prompt_tokens = static_cast<int32_t>(request->asked.prompt.size());
  message.max_new_tokens = 1;
  const NodeId node = record.stages.front().node;
  request->rehearsal = FrontRequest::Rehearsal{.id = message.request,
                                               .node = node,
                                               .epoch = record.epoch,
                                               .n_tokens = request->tokens.size(),
                                               .rounds = rounds,
                                               .heard_at = clock.now()};
  rehearsals[message.request] = request;
  if (!transport.send(node, std::move(message))) end_rehearsal(request);
}

void Front::Impl::on_rehearsal(const RequestPtr& request, const NodeId& from, const wire::RequestUpdate& update) {
  auto& rehearsal = *request->rehearsal;
  if (from != rehearsal.node || update.epoch != rehearsal.epoch) return;
  rehearsal.heard_at = clock.now();
  if (update.finish == wire::FinishReason::kNone) return;
  if (update.finish == wire::FinishReason::kError) {
    rehearsal.refused = true;
    rehearsal.next_try = clock.now() + kRetryRehearsal;
    return;
  }
  const auto view = cluster.find_instance(request->asked.fingerprint);
  if (!view || !view->ready || view->record.epoch != rehearsal.epoch) return end_rehearsal(request);
  await_block(request, view->record);
}

// After a rehearsal the new ring knows whole blocks of what was rehearsed; the rest is computed at the move, while
// the client waits. Rehearsing again where a block has just become full leaves next to nothing.
void Front::Impl::await_block(const RequestPtr& request, const wire::InstanceRecord& record) {
  auto& rehearsal = *request->rehearsal;
  const size_t known = rehearsal.n_tokens - rehearsal.n_tokens % options.block_positions;
  const size_t missing = request->tokens.size() - known;
  if (!rehearsal.waits_until) rehearsal.waits_until = clock.now() + kMostWaitForBlock;
  const bool enough = missing <= kFewTokens || rehearsal.rounds >= kMostRounds;
  if (enough || clock.now() >= *rehearsal.waits_until) return move(request, record);
  if (missing >= options.block_positions) rehearse(request, record, rehearsal.rounds + 1);
}

void Front::Impl::end_rehearsal(const RequestPtr& request) {
  if (!request->rehearsal) return;
  const auto ended = *request->rehearsal;
  request->rehearsal.reset();
  rehearsals.erase(ended.id);
  if (is_linked(ended.node)) transport.send(ended.node, wire::CancelRequest{ended.id});
}

void Front::Impl::move(const RequestPtr& request, const wire::InstanceRecord& record) {
  end_rehearsal(request);
  transport.send(request->first_node, wire::CancelRequest{request->id});
  request->submitted = false;
  request->silent_since.reset();
  request->waiting_since = clock.now();
  const int32_t resumed = request->usage.resumed;
  submit(request, record);
  request->usage.resumed = resumed;  // no ring died
  ++statistics.moved;
  log_debug("front", "request {} moves to epoch {}", request->id.hex(), record.epoch.counter);
}

}  // namespace exo::serve
