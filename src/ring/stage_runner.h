#pragma once
// One stage of one epoch on this node: takes steps from the stage before, has them computed in order, and hands on
// what came out: activations to the next stage's node, tokens to the first stage's. Network thread only.
//
// Groups. Of a stage that several devices compute together one is the leader: it alone talks to the stages before
// and after. It passes every step on to the other members before it computes it, and they compute it too; what they
// tell each other meanwhile is their engines' business (ring/stage_group.h).
//
// Lost steps. Steps of an epoch are numbered without gaps. A link that goes down and comes back loses what was
// under way, so a stage that sees a gap forgets all its slots; steps that build on them then fail with
// kUnavailable, as do steps that cannot be handed on. The first stage's scheduler answers any failed step by
// replaying its sequences from blocks that it knows to be complete (serve/scheduler.h). No message beyond
// StepFailed is needed for that.

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>

#include "net/clock.h"
#include "net/transport.h"
#include "ring/stage_executor.h"
#include "ring/trace_log.h"
#include "wire/messages.h"

namespace exo::ring {

// Where the first stage's node wants to hear what became of its steps.
class StepSink {
 public:
  virtual ~StepSink() = default;
  virtual void on_step_result(wire::StepResult result) = 0;
  virtual void on_step_failed(wire::StepFailed failed) = 0;
};

struct StageCounters {
  uint64_t steps = 0, rows = 0, failures = 0;
  double compute_s = 0;
  net::TimePoint last_step{};  // when the last one began
};

class StageRunner {
 public:
  // `stage_index` is in record.stages and this node is among its members. A sink, of the first stage's leader only,
  // outlives the runner or is unset.
  StageRunner(net::Clock& clock, net::Transport& transport, const wire::InstanceRecord& record,
              int32_t stage_index);

  // Steps that came before are computed now. Null takes the executor away; steps then wait again. Returns the one
  // before; what it still computes is ignored.
  std::unique_ptr<StageExecutor> set_executor(std::unique_ptr<StageExecutor> executor, int32_t max_slots);
  bool has_executor() const { return executor_ != nullptr; }
  StageExecutor* executor() const { return executor_.get(); }  // until the next set_executor()
  void set_sink(StepSink* sink) { sink_ = sink; }
  // Where steps are noted down; outlives the runner. Null: nowhere.
  void set_trace(TraceLog* trace) { trace_ = trace; }

  // Told of every step before it is computed.
  void watch_steps(std::function<void(const wire::Step&)> watcher) { watcher_ = std::move(watcher); }

  // From the local scheduler, on the first stage. Never calls the sink before it returns.
  void run(wire::Step step);
  // From a peer: refused unless `from` is the node of the stage before or, within a group, the leader.
  void on_step(const NodeId& from, wire::Step step);
  // A later stage without a link to the first asks this one to pass its failure on.
  void relay_failure(wire::StepFailed failed);
  // A neighbour's link went down: what was under way to or from it is lost.
  void on_link_down(const NodeId& peer);

  const Epoch& epoch() const { return epoch_; }
  MicroBatchId newest_step() const { return newest_; }  // of those taken
  int32_t stage_index() const { return index_; }
  // This node is the stage's only one or its group's leader; false: another is.
  bool leads() const { return leader_ == self_; }
  bool is_first() const { return index_ == 0 && leads(); }
  bool is_last() const { return index_ + 1 == n_stages_ && leads(); }
  const NodeId& first_node() const { return first_; }
  const NodeId& last_node() const { return last_; }
  bool is_stage_node(const NodeId& node) const;
  const StageCounters& counters() const { return counters_; }

  static constexpr size_t kMaxWaitingSteps = 64;

 private:
  struct Trip {  // what outlives the step while it is computed
    MicroBatchId micro_batch;
    std::vector<wire::StepSequence> sequences;
    std::vector<SlotId> closed_slots;
    std::vector<RequestId> requests;
    size_t n_wanted = 0;
    uint64_t n_rows = 0;
    net::SteadyPoint arrived{}, began{}, computed{};
    wire::ComputeTime compute_time;  // of the stages before, then of this one too
  };

  void take(wire::Step step);
  bool pass_on(const wire::Step& step);
  void compute(wire::Step step);
  void on_computed(Trip& trip, Result<StageOutput> output);
  void hand_on(Trip& trip, StageOutput output);
  void note(const Trip& trip, uint64_t sent_bytes, bool failed) const;
  void report_failure(MicroBatchId micro_batch, ErrorCode code, std::string message);

  net::Clock& clock_;
  net::Transport& transport_;
  const std::string fingerprint_;
  const Epoch epoch_;
  const int32_t index_, n_stages_;
  const NodeId self_;
  NodeId leader_;
  std::vector<NodeId> members_;  // of this stage, but this node; empty: it is alone
  std::vector<NodeId> nodes_;    // of all stages
  NodeId first_, last_, previous_, next_;
  StepSink* sink_ = nullptr;
  TraceLog* trace_ = nullptr;
  std::function<void(const wire::Step&)> watcher_;
  std::unique_ptr<StageExecutor> executor_;
  int32_t max_slots_ = 0;
  MicroBatchId newest_{};      // of the steps taken; 0: none yet
  MicroBatchId newest_out_{};  // of the steps handed on
  bool forget_slots_ = false;  // a step was lost since the last one taken
  std::deque<wire::Step> waiting_;
  size_t computing_ = 0;
  StageCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::ring
