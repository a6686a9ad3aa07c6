#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "serve/node_service_impl.h"

namespace exo::serve {
namespace {

constexpr std::string_view kComponent = "ring";
constexpr auto kRateInterval = std::chrono::milliseconds(500);
constexpr auto kPreviousInterval = std::chrono::milliseconds(20);
constexpr size_t kRateSamples = 7;  // a window of three seconds

}  // namespace

RingService::RingService(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster,
                         RingServiceOptions options)
    : clock_(clock), transport_(transport), cluster_(cluster), options_(std::move(options)) {
  for (const auto& link : transport_.links()) linked_.insert(link.peer);
  sample_rate();
}

RingService::~RingService() {
  clock_.cancel(rate_timer_);
  clock_.cancel(previous_timer_);
  for (auto& [key, instance] : instances_) end_stage(*instance);
}

void RingService::dispose(std::unique_ptr<ring::StageExecutor> executor) {
  if (executor && options_.dispose) options_.dispose(std::move(executor));
}

// ---- epochs ---------------------------------------------------------------------------------------------------

void RingService::on_instance_changed(const cluster::InstanceView& view) {
  const auto& record = view.record;
  const bool active = !record.stopped && !record.stages.empty();
  const bool present = active && view.own_stage.has_value();
  const bool previous = active && view.own_previous_stage.has_value();
  for (auto at = instances_.lower_bound({record.fingerprint, Epoch{}});
       at != instances_.end() && at->first.first == record.fingerprint;) {
    const Epoch& epoch = at->first.second;
    const bool stays = (present && epoch == record.epoch) || (previous && epoch == record.previous->epoch);
    if (!stays) end_stage(*at->second);
    at = stays ? std::next(at) : instances_.erase(at);
  }
  if (previous) take_part(cluster::previous_record(record), *view.own_previous_stage, view.previous_ready, false);
  if (present) take_part(record, *view.own_stage, view.ready, view.previous_ready);
  if (previous && view.ready && record.previous->stages.front().node == transport_.self() && previous_timer_ == 0)
    previous_timer_ = clock_.run_after({}, [this] { watch_previous(); });
}

void RingService::take_part(const wire::InstanceRecord& record, int32_t stage_index, bool ready,
                            bool previous_serves) {
  auto& instance = instances_[{record.fingerprint, record.epoch}];
  if (!instance) {
    instance = std::make_unique<Instance>(transport_);
    instance->epoch = record.epoch;
    instance->runner = std::make_unique<ring::StageRunner>(clock_, transport_, record, stage_index);
    instance->runner->set_trace(options_.trace);
  }
  set_ready(record, *instance, ready, previous_serves);
}

void RingService::set_ready(const wire::InstanceRecord& record, Instance& instance, bool ready,
                            bool previous_serves) {
  if (!instance.scheduler) return;
  if (ready) import_cache(record, instance);
  instance.scheduler->set_previous_serves(previous_serves);
  instance.scheduler->set_ready(ready);
}

// A ring whose successor is ready ends when nobody uses it any more.
void RingService::watch_previous() {
  previous_timer_ = 0;
  for (const auto& view : cluster_.instances()) {
    if (!view.ready || view.own_previous_stage != 0) continue;
    if (view.record.previous->stages.front().node != transport_.self()) continue;  // a member of its group
    Instance* instance = find(view.record.fingerprint, view.record.previous->epoch);
    if (instance != nullptr && instance->scheduler) {
      const auto now = clock_.now();
      if (instance->superseded_by != view.record.epoch) {
        instance->superseded_by = view.record.epoch;
        instance->superseded_at = now;
      }
      const auto statistics = instance->scheduler->statistics();
      const bool busy = statistics.waiting + statistics.running > 0 || lends_cache(view.record, *instance);
      if (busy && now - instance->superseded_at < options_.previous_deadline) {
        if (previous_timer_ == 0)
          previous_timer_ = clock_.run_after(kPreviousInterval, [this] { watch_previous(); });
        continue;
      }
    }
    log_info(kComponent, "{}: epoch {} is over", view.record.model_name, view.record.previous->epoch.counter);
    cluster_.retire_previous(view.record.fingerprint);
  }
}

void RingService::end_stage(Instance& instance) {
  instance.end_carrying();
  if (instance.runner) {
    rows_of_ended_ += instance.runner->counters().rows;
    instance.runner->set_sink(nullptr);
    dispose(instance.runner->set_executor(nullptr, 0));
  }
  instance.scheduler.reset();
  instance.runner.reset();
}

void RingService::start_scheduler(Instance& instance, const wire::InstanceRecord& record) {
  SchedulerConfig config = instance.config;
  config.fingerprint = record.fingerprint;
  config.epoch = record.epoch;
  for (const auto& stage : record.stages) config.stage_nodes.push_back(stage.node);
  instance.stage_nodes = config.stage_nodes;
  config.context_tokens = record.context_tokens;
  for (const auto& facts : cluster_.models()) {
    if (facts.fingerprint != record.fingerprint) continue;
    config.n_vocab = facts.n_vocab;
    if (facts.context_length > 0) config.context_tokens = std::min(config.context_tokens, facts.context_length);
  }
  config.first_micro_batch = instance.next_micro_batch;
  config.queue_limit = options_.queue_limit;
  config.max_draft_tokens = options_.max_draft_tokens;
  config.step_deadline = options_.step_deadline;
  config.trouble_deadline = options_.trouble_deadline;
  config.trace = options_.trace;
  instance.scheduler = std::make_unique<Scheduler>(clock_, instance, std::move(config));
  instance.scheduler->set_link_s(link_s_around(instance.stage_nodes));
  instance.runner->set_sink(instance.scheduler.get());
  for (const auto& stage : record.stages)
    if (stage.node != transport_.self() && !linked_.contains(stage.node))
      instance.scheduler->on_link(stage.node, false);
  give_drafter(record.fingerprint, *instance.scheduler);
}

void RingService::give_drafter(const std::string& fingerprint, Scheduler& scheduler) {
  if (!options_.drafters || scheduler.has_drafter() || !scheduler.takes_guesses()) return;
  if (auto drafter = options_.drafters(fingerprint, scheduler)) scheduler.set_drafter(std::move(drafter));
}

void RingService::offer_drafters() {
  for (auto& [key, instance] : instances_)
    if (instance->scheduler) give_drafter(key.first, *instance->scheduler);
}

// Half the round trips between neighbours, as far as they are measured.
double RingService::link_s_around(const std::vector<NodeId>& stage_nodes) const {
  const auto round_trip_us = [&](const NodeId& from, const NodeId& to) -> uint32_t {
    const auto* member = cluster_.find_member(from);
    if (member == nullptr) return 0;
    const auto link = std::ranges::find(member->links, to, &wire::LinkFacts::peer);
    return link == member->links.end() ? 0 : link->round_trip_us;
  };
  double sum_us = 0;
  for (size_t i = 0; i < stage_nodes.size() && stage_nodes.size() > 1; ++i) {
    const NodeId& from = stage_nodes[i];
    const NodeId& to = stage_nodes[(i + 1) % stage_nodes.size()];
    sum_us += std::max(round_trip_us(from, to), round_trip_us(to, from)) / 2.0;
  }
  return sum_us * 1e-6;
}

bool RingService::install_executor(const std::string& fingerprint, const Epoch& epoch,
                                   std::unique_ptr<ring::StageExecutor> executor, int32_t n_blocks,
                                   int32_t block_positions, int32_t max_slots, int32_t max_batch_rows) {
  const auto view = cluster_.find_instance(fingerprint);
  if (view) on_instance_changed(*view);
  Instance* instance = find(fingerprint, epoch);
  if (!view || instance == nullptr || n_blocks < 1 || block_positions < 1 || max_slots < 1 || max_batch_rows < 1) {
    log_info(kComponent, "a stage was loaded for an epoch that is over");
    dispose(std::move(executor));
    return false;
  }
  remove_executor(fingerprint, epoch);
  instance->config = {.n_blocks = n_blocks,
                      .block_positions = block_positions,
                      .max_slots = max_slots,
                      .max_batch_rows = max_batch_rows,
                      .keeps_state = executor->keeps_state()};
  const bool is_previous = epoch != view->record.epoch;
  if (!is_previous) prepare_filler(view->record, *instance, *executor);
  instance->runner->set_executor(std::move(executor), max_slots);
  if (instance->runner->is_first())
    start_scheduler(*instance, is_previous ? cluster::previous_record(view->record) : view->record);
  if (is_previous) {
    set_ready(cluster::previous_record(view->record), *instance, view->previous_ready, false);
  } else {
    set_ready(view->record, *instance, view->ready, view->previous_ready);
  }
  return true;
}

void RingService::remove_executor(const std::string& fingerprint, const Epoch& epoch) {
  Instance* instance = find(fingerprint, epoch);
  if (instance == nullptr) return;
  instance->end_carrying();
  instance->runner->set_sink(nullptr);
  if (instance->scheduler) instance->next_micro_batch = instance->scheduler->next_micro_batch();
  instance->scheduler.reset();
  dispose(instance->runner->set_executor(nullptr, 0));
}

RingService::Instance* RingService::find(const std::string& fingerprint, const Epoch& epoch) {
  const auto found = instances_.find({fingerprint, epoch});
  return found == instances_.end() ? nullptr : found->second.get();
}

// ---- messages -------------------------------------------------------------------------------------------------

bool RingService::takes(const wire::Message& message) const {
  return std::holds_alternative<wire::Step>(message) || std::holds_alternative<wire::StepResult>(message) ||
         std::holds_alternative<wire::StepFailed>(message) ||
         std::holds_alternative<wire::SubmitRequest>(message) ||
         std::holds_alternative<wire::CancelRequest>(message) || is_about_caches(message);
}

void RingService::on_message(const NodeId& from, wire::Message message) {
  if (auto* step = std::get_if<wire::Step>(&message)) {
    if (Instance* instance = find(step->fingerprint, step->epoch))
      instance->runner->on_step(from, std::move(*step));
  } else if (auto* result = std::get_if<wire::StepResult>(&message)) {
    Instance* instance = find(result->fingerprint, result->epoch);
    if (instance && instance->scheduler && from == instance->runner->last_node())
      instance->scheduler->on_step_result(std::move(*result));
  } else if (auto* failed = std::get_if<wire::StepFailed>(&message)) {
    Instance* instance = find(failed->fingerprint, failed->epoch);
    if (instance && instance->runner->is_stage_node(from)) {
      if (instance->scheduler) {
        instance->scheduler->on_step_failed(std::move(*failed));
      } else {
        instance->runner->relay_failure(std::move(*failed));
      }
    }
  } else if (auto* request = std::get_if<wire::SubmitRequest>(&message)) {
    submit(from, std::move(*request));
  } else if (const auto* cancelled = std::get_if<wire::CancelRequest>(&message)) {
    for (auto& [key, instance] : instances_)
      if (instance->scheduler) instance->scheduler->cancel(from, cancelled->request);
  } else {
    on_cache_message(from, std::move(message));
  }
}

void RingService::submit(const NodeId& from, wire::SubmitRequest request) {
  Instance* instance = find(request.fingerprint, request.epoch);
  if (instance && instance->scheduler) return instance->scheduler->submit(from, std::move(request));
  wire::RequestUpdate update{.request = request.request, .epoch = request.epoch};
  update.finish = wire::FinishReason::kError;
  update.error_code = ErrorCode::kUnavailable;
  update.error = "the first stage of this epoch is not here";
  transport_.send(from, std::move(update));
}

void RingService::on_link_up(const net::LinkInfo& link) {
  linked_.insert(link.peer);
  for (auto& [key, instance] : instances_)
    if (instance->scheduler) instance->scheduler->on_link(link.peer, true);
}

void RingService::on_link_down(const NodeId& peer, const Error&) {
  linked_.erase(peer);
  for (auto& [key, instance] : instances_) {
    if (instance->filler) instance->filler->on_link_down(peer);
    if (instance->import) instance->import->on_link_down(peer);
    if (instance->lease && instance->lease->borrower() == peer) instance->lease->end();
    instance->runner->on_link_down(peer);
    if (instance->scheduler) instance->scheduler->on_link(peer, false);
  }
}

// ---- what people see ------------------------------------------------------------------------------------------

void RingService::sample_rate() {
  uint64_t rows = rows_of_ended_;
  for (const auto& [key, instance] : instances_) {
    rows += instance->runner->counters().rows;
    if (instance->scheduler) instance->scheduler->set_link_s(link_s_around(instance->stage_nodes));
  }
  rate_samples_.emplace_back(clock_.now(), rows);
  if (rate_samples_.size() > kRateSamples) rate_samples_.pop_front();
  rate_timer_ = clock_.run_after(kRateInterval, [this] { sample_rate(); });
}

double RingService::tokens_per_s() const {
  const auto& [begin, rows_before] = rate_samples_.front();
  const auto& [end, rows_now] = rate_samples_.back();
  const double window_s = std::chrono::duration<double>(end - begin).count();
  return window_s > 0 ? static_cast<double>(rows_now - rows_before) / window_s : 0;
}

net::TimePoint RingService::last_step() const {
  net::TimePoint last{};
  for (const auto& [key, instance] : instances_) last = std::max(last, instance->runner->counters().last_step);
  return last;
}

std::vector<RingStageView> RingService::stages() const {
  std::vector<RingStageView> views;
  for (const auto& [key, instance] : instances_) {
    RingStageView view{key.first,
                       instance->epoch,
                       instance->runner->stage_index(),
                       instance->runner->has_executor(),
                       instance->runner->counters(),
                       {},
                       false};
    if (instance->scheduler) {
      view.scheduler = instance->scheduler->statistics();
      view.has_drafter = instance->scheduler->has_drafter();
    }
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace exo::serve
