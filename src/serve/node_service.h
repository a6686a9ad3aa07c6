#pragma once
// This node's part in every ring: a StageRunner for each instance that gave it a stage, a Scheduler where that
// stage is the first. Routes the messages between them and follows the cluster's epochs. Network thread only.
//
// The composition root adds it to the transport (listener) and to the cluster (observer), both after the cluster:
//   transport.add_listener(&cluster); transport.add_listener(&ring); transport.add_listener(&front);
//   cluster.add_observer(&ring); cluster.add_observer(&front);
// and, when a stage asked for by StageHost::load_stage has loaded, calls install_executor *before* it reports
// kReady.
//
// Two epochs of an instance may run here at once: the previous one serves while the present one loads and until its
// requests have moved. Its first stage's node sees when that is so, and retires it.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cluster/cluster.h"
#include "net/clock.h"
#include "net/transport.h"
#include "ring/stage_runner.h"
#include "serve/scheduler.h"

namespace exo::serve {

struct RingServiceOptions {
  size_t queue_limit = 256;       // waiting requests per instance
  int32_t max_draft_tokens = 16;  // of a sequence in one step (serve/scheduler.h)
  net::Duration step_deadline = std::chrono::seconds(60);
  net::Duration trouble_deadline = std::chrono::seconds(30);
  net::Duration previous_deadline = std::chrono::minutes(2);  // for requests to move to an epoch that is ready
  // Gets executors that are no longer needed. Destroying a real one may wait for a step, so the node does that on
  // another thread; without a function they are destroyed at once.
  std::function<void(std::unique_ptr<ring::StageExecutor>)> dispose;
  ring::TraceLog* trace = nullptr;         // outlives the service; null: nothing is noted
  bool carry_caches = true;                // a new ring takes over what the one before has cached,
  uint64_t carried_batch_bytes = 4 << 20;  // so much at a time, of all stages together
  ring::DrafterSource drafters;            // asked when this node becomes a first stage; without it nobody drafts
};

struct RingStageView {
  std::string fingerprint;
  Epoch epoch;
  int32_t stage_index = 0;
  bool has_executor = false;
  ring::StageCounters counters;
  std::optional<SchedulerStatistics> scheduler;  // of the first stage
  bool has_drafter = false;                      // its scheduler
};

class RingService final : public net::TransportListener, public cluster::ClusterObserver {
 public:
  RingService(net::Clock& clock, net::Transport& transport, cluster::Cluster& cluster,
              RingServiceOptions options = {});
  ~RingService() override;

  // The stage of `epoch` is loaded. All stages of an epoch are created with the same numbers, derived from the
  // record: n_blocks KV blocks of block_positions, max_slots sequences. False when the epoch is over already; the
  // executor is then disposed of.
  bool install_executor(const std::string& fingerprint, const Epoch& epoch,
                        std::unique_ptr<ring::StageExecutor> executor, int32_t n_blocks, int32_t block_positions,
                        int32_t max_slots, int32_t max_batch_rows);
  // For StageHost::unload_stage and before a stage is loaded anew.
  void remove_executor(const std::string& fingerprint, const Epoch& epoch);

  // Asks the source of drafters again for the first stages here that have none.
  void offer_drafters();

  // Rows per second that this node's stages computed, over the last seconds.
  double tokens_per_s() const;
  // When a stage here last began a step; the clock's beginning: none that is here did.
  net::TimePoint last_step() const;
  std::vector<RingStageView> stages() const;

  void on_link_up(const net::LinkInfo& link) override;
  void on_link_down(const NodeId& peer, const Error& why) override;
  void on_message(const NodeId& from, wire::Message message) override;
  bool takes(const wire::Message& message) const override;
  void on_instance_changed(const cluster::InstanceView& view) override;

 private:
  struct Instance;
  using Key = std::pair<std::string, Epoch>;  // fingerprint and epoch

  void take_part(const wire::InstanceRecord& record, int32_t stage_index, bool ready, bool previous_serves);
  void end_stage(Instance& instance);
  void give_drafter(const std::string& fingerprint, Scheduler& scheduler);
  void start_scheduler(Instance& instance, const wire::InstanceRecord& record);
  double link_s_around(const std::vector<NodeId>& stage_nodes) const;
  void watch_previous();
  void set_ready(const wire::InstanceRecord& record, Instance& instance, bool ready, bool previous_serves);
  // ---- caches that are carried over (node_service_cache.cpp)
  void import_cache(const wire::InstanceRecord& record, Instance& instance);
  void prepare_filler(const wire::InstanceRecord& record, Instance& instance, ring::StageExecutor& executor);
  bool lends_cache(const wire::InstanceRecord& record, const Instance& instance) const;
  static bool is_about_caches(const wire::Message& message);
  void on_cache_message(const NodeId& from, wire::Message message);
  void on_cache(const NodeId& from, const wire::CacheQuery& query);
  void on_cache(const NodeId& from, const wire::CacheRelease& release);
  void on_cache(const NodeId& from, wire::CacheFill fill);
  void on_cache(const NodeId& from, wire::CacheRead read);
  Instance* lender(const wire::InstanceRecord& record);
  std::optional<wire::InstanceRecord> successor(const std::string& fingerprint, const Epoch& epoch) const;
  double bandwidth_from(const NodeId& node) const;
  Instance* find(const std::string& fingerprint, const Epoch& epoch);
  void dispose(std::unique_ptr<ring::StageExecutor> executor);
  void submit(const NodeId& from, wire::SubmitRequest request);
  void sample_rate();

  net::Clock& clock_;
  net::Transport& transport_;
  cluster::Cluster& cluster_;
  const RingServiceOptions options_;
  std::map<Key, std::unique_ptr<Instance>> instances_;
  std::set<NodeId> linked_;
  uint64_t rows_of_ended_ = 0;  // computed by stages that are no more
  std::deque<std::pair<net::TimePoint, uint64_t>> rate_samples_;
  uint64_t imports_ = 0;  // begun
  net::TimerId rate_timer_ = 0, previous_timer_ = 0;
};

}  // namespace exo::serve
