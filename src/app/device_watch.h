#pragma once
// Keeps what the cluster knows of this device true while it runs: memory that is free, rates measured in the
// background when nothing is asked of the device, and corrections from the times that real steps took.

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include "app/options.h"
#include "app/strain.h"
#include "app/worker.h"
#include "cluster/cluster.h"
#include "cluster/step_times.h"
#include "net/event_loop.h"

namespace exo::app {

// Network thread, but for the constructor and stop().
class DeviceWatch final : public cluster::ClusterObserver {
 public:
  DeviceWatch(const NodeOptions& options, net::EventLoop& loop);
  ~DeviceWatch() override;

  void connect(cluster::Cluster& cluster);  // once, before the cluster starts
  // Every few seconds. `idle`: nothing is computed now, so a measurement would neither disturb nor be disturbed.
  void refresh(bool idle);
  // Why the device should give its stages away (app/strain.h); empty: it need not.
  std::string strain();
  void on_step(const std::string& fingerprint, const cluster::MeasuredStep& step);
  // Memory that stages shall not have, since this device needs it for something else.
  void set_aside(uint64_t bytes);
  void stop();  // cancels a measurement and waits for its end; not from the network thread

  void on_instance_changed(const cluster::InstanceView& view) override;

 private:
  void measure();
  uint64_t budget_bytes() const;

  const NodeOptions& options_;
  net::EventLoop& loop_;
  cluster::Cluster* cluster_ = nullptr;
  cluster::StepTimes times_;
  StrainJudge judge_;
  std::map<std::string, Epoch> stages_;  // whose steps are timed
  uint64_t set_aside_bytes_ = 0;
  int32_t idle_refreshes_ = 0;
  bool stale_ = false;
  std::atomic<bool> cancelled_ = false, stopping_ = false;
  Worker worker_;
};

}  // namespace exo::app
