#pragma once
// The real StageExecutor: one thread that owns a model::Stage, the block tables of its slots and, at the last
// stage, their samplers. Everything in a step may come from a peer and is validated before the stage sees it.

#include <memory>

#include "model/stage.h"
#include "net/clock.h"
#include "ring/stage_executor.h"
#include "ring/stage_group.h"

namespace exo::ring {

struct EngineOptions {
  int32_t max_slots = 16;
  size_t queue_capacity = 128;  // steps waiting for the thread
  // Of a stage that is a share (model::StageConfig::share): the other members. Only their leader has output.
  std::unique_ptr<StageGroup> group = nullptr;
};

// Errors that `done` gets: kUnavailable when the step builds on a slot that is not open here (an earlier step was
// lost; replaying the sequence helps) or the queue is full; kInvalidArgument when the step contradicts itself or
// the stage's limits; what the stage and its group report. A failed step may have changed block tables of its
// slots, nothing else.
//
// Created and called on the network thread. The destructor waits for the step being computed, so it is best run on
// another thread than the network's; callbacks that are due then are not called.
class EngineThread final : public StageExecutor {
 public:
  EngineThread(net::Clock& clock, std::unique_ptr<model::Stage> stage, EngineOptions options);
  ~EngineThread() override;
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  void execute(wire::Step step, std::function<void(Result<StageOutput>)> done) override;
  void interrupt(MicroBatchId newest) override;
  bool keeps_state() const override;
  // Of a stage that is a device's alone and keeps no states.
  std::optional<CacheLayout> cache_layout() const override;
  void read_cache(CachePart part, std::function<void(Result<std::vector<std::byte>>)> done) override;
  void write_cache(CachePart part, std::vector<std::byte> bytes, std::function<void(Status)> done) override;
  void complete_blocks(std::vector<BlockId> blocks, std::function<void(Status)> done) override;

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

}  // namespace exo::ring
