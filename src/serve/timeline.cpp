#include "serve/timeline.h"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>

namespace exo::serve {
namespace {

// A node's times on this node's clock. Peers state what they like: sums wrap instead of being undefined.
class Ruler {
 public:
  explicit Ruler(const std::vector<NodeTrace>& nodes) : nodes_(nodes) {
    constexpr int64_t kUnset = std::numeric_limits<int64_t>::max();
    const auto earliest = [&](auto of_node) {
      for (size_t i = 0; i < nodes.size() && origin_ == kUnset; ++i) of_node(i, nodes[i]);
    };
    earliest([&](size_t i, const NodeTrace& node) {
      for (const auto& event : node.events)
        if (event.kind == wire::TraceEventKind::kReceived) origin_ = std::min(origin_, aligned(i, event.at_ns));
    });
    earliest([&](size_t i, const NodeTrace& node) {
      for (const auto& event : node.events) origin_ = std::min(origin_, aligned(i, event.at_ns));
    });
    earliest([&](size_t i, const NodeTrace& node) {
      for (const auto& step : node.steps) origin_ = std::min(origin_, aligned(i, step.arrived_ns));
    });
  }
  double ms(size_t node, int64_t ns) const { return between(origin_, aligned(node, ns)); }
  static double between(int64_t begin_ns, int64_t end_ns) {
    return static_cast<double>(
               static_cast<int64_t>(static_cast<uint64_t>(end_ns) - static_cast<uint64_t>(begin_ns))) /
           1e6;
  }

 private:
  int64_t aligned(size_t node, int64_t ns) const {
    return static_cast<int64_t>(static_cast<uint64_t>(ns) + static_cast<uint64_t>(nodes_[node].offset_ns));
  }
  const std::vector<NodeTrace>& nodes_;
  int64_t origin_ = std::numeric_limits<int64_t>::max();
};

Passage passage_of(const Ruler& ruler, size_t node, const wire::StepTrace& step) {
  return {.stage = step.stage,
          .node = node,
          .arrived_ms = ruler.ms(node, step.arrived_ns),
          .queue_ms = Ruler::between(step.arrived_ns, step.began_ns),
          .compute_ms = Ruler::between(step.began_ns, step.computed_ns),
          .send_ms = Ruler::between(step.computed_ns, step.sent_ns),
          .hop_ms = {},
          .sent_bytes = step.sent_bytes,
          .failed = step.failed};
}

void set_hops(TracedStep& step) {
  std::ranges::stable_sort(step.passages, {}, [](const Passage& p) { return std::pair(p.stage, p.arrived_ms); });
  for (size_t i = 0; i < step.passages.size(); ++i) {
    Passage& passage = step.passages[i];
    // Of a group the first hands on.
    if (passage.failed || (i > 0 && step.passages[i - 1].stage == passage.stage)) continue;
    const double sent_ms = passage.arrived_ms + passage.queue_ms + passage.compute_ms + passage.send_ms;
    const auto next = std::ranges::find(step.passages, passage.stage + 1, &Passage::stage);
    const bool last = step.passages.back().stage == passage.stage;
    if (next != step.passages.end()) {
      passage.hop_ms = next->arrived_ms - sent_ms;
    } else if (last && step.answered_ms && passage.sent_bytes == 0) {
      passage.hop_ms = *step.answered_ms - sent_ms;
    }
  }
}

std::vector<StageMean> means_of(const std::vector<TracedStep>& steps) {
  std::map<std::tuple<bool, int32_t, size_t>, StageMean> sums;
  for (const TracedStep& step : steps) {
    const bool prefill = step.rows > step.sequences;
    for (const Passage& passage : step.passages) {
      if (passage.failed) continue;
      StageMean& sum = sums[{!prefill, passage.stage, passage.node}];
      sum.stage = passage.stage;
      sum.node = passage.node;
      sum.prefill = prefill;
      ++sum.steps;
      sum.rows += step.rows;
      sum.queue_ms += passage.queue_ms;
      sum.compute_ms += passage.compute_ms;
      sum.send_ms += passage.send_ms;
      sum.hop_ms += passage.hop_ms.value_or(0);
    }
  }
  std::vector<StageMean> means;
  for (auto& [key, sum] : sums) {
    for (double* value : {&sum.queue_ms, &sum.compute_ms, &sum.send_ms, &sum.hop_ms}) *value /= sum.steps;
    means.push_back(sum);
  }
  return means;
}

}  // namespace

Timeline make_timeline(const RequestId& request, std::vector<NodeTrace> nodes) {
  Timeline timeline{.request = request, .nodes = {}, .events = {}, .steps = {}, .means = {}};
  const Ruler ruler(nodes);
  std::map<std::pair<Epoch, MicroBatchId>, TracedStep> steps;
  for (size_t i = 0; i < nodes.size(); ++i) {
    for (const auto& event : nodes[i].events) {
      // Nothing of a request happens before it was received: what seems so is within the error of the clocks.
      timeline.events.push_back({std::max(0.0, ruler.ms(i, event.at_ns)), i, event});
    }
    for (const auto& trace : nodes[i].steps) {
      TracedStep& step = steps[{trace.epoch, trace.micro_batch}];
      step.epoch = trace.epoch;
      step.micro_batch = trace.micro_batch;
      step.rows = std::max(step.rows, trace.rows);
      step.sequences = std::max(step.sequences, trace.sequences);
      if (trace.stage >= 0) {
        step.passages.push_back(passage_of(ruler, i, trace));
      } else {
        step.launched_ms = ruler.ms(i, trace.arrived_ns);
        step.answered_ms = ruler.ms(i, trace.sent_ns);
      }
    }
  }
  for (auto& [key, step] : steps) {
    set_hops(step);
    timeline.steps.push_back(std::move(step));
  }
  std::ranges::stable_sort(timeline.events, {},
                           [](const TracedEvent& e) { return std::pair(e.at_ms, e.event.kind); });
  timeline.means = means_of(timeline.steps);
  timeline.nodes = std::move(nodes);
  for (auto& node : timeline.nodes) {
    node.events.clear();
    node.steps.clear();
  }
  return timeline;
}

std::string_view event_name(wire::TraceEventKind kind) {
  switch (kind) {
    case wire::TraceEventKind::kReceived:
      return "received";
    case wire::TraceEventKind::kSubmitted:
      return "submitted";
    case wire::TraceEventKind::kQueued:
      return "queued";
    case wire::TraceEventKind::kAdmitted:
      return "admitted";
    case wire::TraceEventKind::kRequeued:
      return "requeued";
    case wire::TraceEventKind::kDetached:
      return "detached";
    case wire::TraceEventKind::kFirstToken:
      return "first token";
    case wire::TraceEventKind::kFinished:
      return "finished";
  }
  return "?";
}

}  // namespace exo::serve
