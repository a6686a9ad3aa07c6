#pragma once
// The pieces that nodes know of one request, put together on one clock. Pure.

#include <optional>
#include <vector>

#include "serve/trace_service.h"

namespace exo::serve {

// Times in ms; points in time since the request's first event. Between clocks of two nodes they are true to the sum
// of their uncertainties, so that a hop may even seem to end before it began.
struct Passage {  // of a step through one stage
  int32_t stage = 0;
  size_t node = 0;  // in Timeline::nodes
  double arrived_ms = 0, queue_ms = 0, compute_ms = 0, send_ms = 0;
  std::optional<double> hop_ms;  // until the next stage has it, or the scheduler the tokens
  uint64_t sent_bytes = 0;
  bool failed = false;
};

struct TracedStep {
  Epoch epoch;
  MicroBatchId micro_batch;
  int32_t rows = 0, sequences = 0;
  std::optional<double> launched_ms, answered_ms;  // by the scheduler
  std::vector<Passage> passages;                   // by stage
};

struct TracedEvent {
  double at_ms = 0;
  size_t node = 0;
  wire::TraceEvent event;
};

// Of all steps of a kind, per stage. Means in ms.
struct StageMean {
  int32_t stage = 0;
  size_t node = 0;
  bool prefill = false;  // steps of more than one row per sequence
  int32_t steps = 0;
  int64_t rows = 0;
  double queue_ms = 0, compute_ms = 0, send_ms = 0, hop_ms = 0;
};

struct Timeline {
  RequestId request;
  std::vector<NodeTrace> nodes;  // without events and steps
  std::vector<TracedEvent> events;
  std::vector<TracedStep> steps;
  std::vector<StageMean> means;  // prefill first, then by stage
  bool empty() const { return events.empty() && steps.empty(); }
};

Timeline make_timeline(const RequestId& request, std::vector<NodeTrace> nodes);

// "received", "queued", …
std::string_view event_name(wire::TraceEventKind kind);

}  // namespace exo::serve
