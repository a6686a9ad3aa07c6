#pragma once
// What this node lately did for which request: times of steps through its stages and turns in requests' lives.
// Bounded; the oldest are forgotten. It answers wire::TraceQuery (serve/trace_service.h). Network thread only.

#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "net/clock.h"
#include "wire/messages.h"

namespace exo::ring {

int64_t trace_ns(net::SteadyPoint time);  // as wire::TraceEvent and wire::StepTrace have it

// A debug line of the step: "request=… epoch=3 step=17 stage=1 rows=4 queue_ms=0.012 compute_ms=3.210 …".
void log_step(std::string_view component, const wire::StepTrace& step, std::span<const RequestId> requests);

class TraceLog {
 public:
  // `most_entries`: how many requests of steps (a step counts one and each of its requests one) and how many
  // events.
  explicit TraceLog(size_t most_entries = 65'536) : most_entries_(most_entries) {}

  void add_step(const wire::StepTrace& step, std::vector<RequestId> requests);
  void add_event(const RequestId& request, const wire::TraceEvent& event);

  // Adds what is known of the request, oldest first; where that is more than a reply may hold, the newest of it.
  void report(const RequestId& request, wire::TraceReply& reply) const;
  // The latest that this node's front received; all zero when there was none.
  const RequestId& last_received() const { return last_received_; }
  size_t entries() const { return step_entries_ + events_.size(); }

 private:
  struct Step {
    wire::StepTrace trace;
    std::vector<RequestId> requests;
  };
  struct Event {
    RequestId request;
    wire::TraceEvent event;
  };

  const size_t most_entries_;
  std::deque<Step> steps_;
  size_t step_entries_ = 0;
  std::deque<Event> events_;
  RequestId last_received_;
};

}  // namespace exo::ring
