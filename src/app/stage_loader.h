#pragma once
// cluster::StageHost for real: gets the bytes of a stage, loads it on a thread of its own, and hands the running
// engine to the ring.

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "app/model_files.h"
#include "app/worker.h"
#include "cluster/cluster.h"
#include "cluster/step_times.h"
#include "model/stage.h"
#include "net/event_loop.h"
#include "net/group_stream.h"
#include "ring/idle_gate.h"
#include "ring/stage_group.h"
#include "serve/node_service.h"

namespace exo::app {

class StageLoader final : public cluster::StageHost {
 public:
  // Everything outlives the loader's last callback: call stop() before taking the others down. `gate`: busy while a
  // stage has steps to compute.
  StageLoader(net::EventLoop& loop, ModelFiles& files, const NodeId& self, net::GroupConnector& groups,
              int32_t threads, ring::IdleGate gate);
  ~StageLoader() override;

  // The two sides it stands between; set once, before the cluster starts.
  void connect(cluster::Cluster& cluster, serve::RingService& ring);
  // Told of every step that a stage computed, on the network thread; set before the cluster starts.
  using StepObserver = std::function<void(const std::string& fingerprint, const cluster::MeasuredStep& step)>;
  void observe_steps(StepObserver observer) { on_step_ = std::move(observer); }
  // For RingServiceOptions::dispose: engines end on the loader's thread, since that may wait for a step.
  void dispose(std::unique_ptr<ring::StageExecutor> executor);
  void stop();  // cancels what is loading and waits; not from the network thread

  void load_stage(const wire::InstanceRecord& record, int32_t stage_index) override;
  void unload_stage(const std::string& fingerprint, const Epoch& epoch) override;

 private:
  struct Job;
  void run(const std::shared_ptr<Job>& job);
  Result<std::unique_ptr<ring::StageExecutor>> load(const std::shared_ptr<Job>& job);
  Result<model::TensorShare> share_of(const Job& job) const;
  // Null where the stage is this device's alone.
  Result<std::unique_ptr<ring::StageGroup>> join_group(const Job& job, const model::TensorShare& share);
  bool report_progress(const std::shared_ptr<Job>& job, uint64_t done_bytes, uint64_t total_bytes);
  void report(const std::shared_ptr<Job>& job, wire::StageStatus status);

  net::EventLoop& loop_;
  ModelFiles& files_;
  const NodeId self_;
  net::GroupConnector& groups_;
  const int32_t threads_;
  const ring::IdleGate gate_;
  cluster::Cluster* cluster_ = nullptr;
  serve::RingService* ring_ = nullptr;
  StepObserver on_step_;
  std::map<std::pair<std::string, Epoch>, std::shared_ptr<Job>> jobs_;  // per stage; network thread
  std::atomic<bool> stopping_ = false;
  Worker worker_;
};

}  // namespace exo::app
