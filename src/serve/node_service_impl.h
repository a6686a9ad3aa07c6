#pragma once
// What node_service.cpp and node_service_cache.cpp share. Not for others.

#include "ring/cache_filler.h"
#include "ring/cache_server.h"
#include "serve/cache_import.h"
#include "serve/cache_lease.h"
#include "serve/node_service.h"

namespace exo::serve {

struct RingService::Instance final : SchedulerPort {
  explicit Instance(net::Transport& transport_in) : transport(transport_in) {}

  void send_step(wire::Step step) override { runner->run(std::move(step)); }
  void send_update(const NodeId& front, wire::RequestUpdate update) override {
    transport.send(front, std::move(update));  // without a link its requests are dropped anyway
  }

  net::Transport& transport;
  Epoch epoch;
  std::unique_ptr<ring::StageRunner> runner;
  std::unique_ptr<Scheduler> scheduler;
  std::vector<NodeId> stage_nodes;  // of the scheduler's ring
  SchedulerConfig config;           // what the executor was installed with
  MicroBatchId next_micro_batch{1};
  Epoch superseded_by;             // the next epoch, once it is ready
  net::TimePoint superseded_at{};  // since when

  // Caches that are carried over. As the new ring:
  std::unique_ptr<CacheImport> import;  // beside the scheduler, once its ring is ready
  std::unique_ptr<ring::CacheFiller> filler;
  // As the ring before:
  std::unique_ptr<CacheLease> lease;
  std::unique_ptr<ring::CacheServer> server;

  // Before the scheduler or the executor goes.
  void end_carrying() {
    if (scheduler) scheduler->set_supply({});
    import.reset();
    lease.reset();
    server.reset();
    if (runner) runner->watch_steps({});
    filler.reset();
  }
};

}  // namespace exo::serve
