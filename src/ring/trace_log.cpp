#include "ring/trace_log.h"

#include <algorithm>

#include "base/log.h"
#include "wire/limits.h"

namespace exo::ring {
namespace {

template <typename T>
void push_bounded(std::vector<T>& newest_first, const T& value, size_t limit) {
  if (newest_first.size() < limit) newest_first.push_back(value);
}

}  // namespace

int64_t trace_ns(net::SteadyPoint time) { return time.time_since_epoch().count(); }

void log_step(std::string_view component, const wire::StepTrace& step, std::span<const RequestId> requests) {
  if (!log_enabled(LogLevel::kDebug)) return;
  std::string ids;
  for (const auto& request : requests) ids += (ids.empty() ? "" : ",") + request.hex();
  const auto ms = [](int64_t ns) { return static_cast<double>(ns) / 1e6; };
  log_debug(component,
            "request={} epoch={} step={} stage={} rows={} queue_ms={:.3f} compute_ms={:.3f} send_ms={:.3f} "
            "sent_bytes={} failed={}",
            ids, step.epoch.counter, step.micro_batch, step.stage, step.rows, ms(step.began_ns - step.arrived_ns),
            ms(step.computed_ns - step.began_ns), ms(step.sent_ns - step.computed_ns), step.sent_bytes,
            step.failed);
}

void TraceLog::add_step(const wire::StepTrace& step, std::vector<RequestId> requests) {
  if (requests.empty() || requests.size() >= most_entries_) return;
  step_entries_ += 1 + requests.size();
  steps_.push_back({step, std::move(requests)});
  while (step_entries_ > most_entries_) {
    step_entries_ -= 1 + steps_.front().requests.size();
    steps_.pop_front();
  }
}

void TraceLog::add_event(const RequestId& request, const wire::TraceEvent& event) {
  if (event.kind == wire::TraceEventKind::kReceived) last_received_ = request;
  events_.push_back({request, event});
  if (events_.size() > most_entries_) events_.pop_front();
}

void TraceLog::report(const RequestId& request, wire::TraceReply& reply) const {
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step)
    if (std::ranges::find(step->requests, request) != step->requests.end())
      push_bounded(reply.steps, step->trace, wire::kMaxTraceSteps);
  for (auto event = events_.rbegin(); event != events_.rend(); ++event)
    if (event->request == request) push_bounded(reply.events, event->event, wire::kMaxTraceEvents);
  std::ranges::reverse(reply.steps);
  std::ranges::reverse(reply.events);
}

}  // namespace exo::ring
