#pragma once
// A device for simulations: loads after a delay, may fail, and remembers what it was asked.

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cluster/cluster.h"

namespace exo::cluster::testing {

class FakeStageHost : public StageHost {
 public:
  struct Load {
    std::string fingerprint;
    Epoch epoch;
    LayerRange layers;
  };

  explicit FakeStageHost(net::Clock& clock, net::Duration load_time = std::chrono::milliseconds(50))
      : clock_(clock), load_time_(load_time) {}

  // Where reports go; before anything is loaded. nullptr: reports nothing.
  void attach(Cluster* cluster) { cluster_ = cluster; }
  void set_load_time(net::Duration load_time) { load_time_ = load_time; }
  // An error instead of nullopt makes the load fail with it.
  void set_failure(std::function<std::optional<std::string>(const wire::InstanceRecord&, int32_t)> failure) {
    failure_ = std::move(failure);
  }

  void load_stage(const wire::InstanceRecord& record, int32_t stage_index) override {
    const auto& stage = record.stages.at(static_cast<size_t>(stage_index));
    loads_.push_back({record.fingerprint, record.epoch, stage.layers});
    const Key key{record.fingerprint, record.epoch};
    wire::StageStatus status{record.fingerprint, record.epoch, stage.layers, wire::StageState::kReady, 1, 1, {}};
    if (const auto error = failure_ ? failure_(record, stage_index) : std::nullopt) {
      status.state = wire::StageState::kFailed;
      status.error = *error;
    }
    timers_[key] = clock_.run_after(load_time_, [this, key, status] {
      if (status.state == wire::StageState::kReady) ready_[key] = status;
      if (cluster_ != nullptr) cluster_->report_stage(status);
    });
  }
  void unload_stage(const std::string& fingerprint, const Epoch& epoch) override {
    clock_.cancel(timers_[{fingerprint, epoch}]);
    ready_.erase({fingerprint, epoch});
    unloads_.push_back(fingerprint);
  }

  const std::vector<Load>& loads() const { return loads_; }
  const std::vector<std::string>& unloads() const { return unloads_; }
  // The stage of the newest epoch that is loaded now.
  const wire::StageStatus* loaded(const std::string& fingerprint) const {
    const wire::StageStatus* newest = nullptr;
    for (const auto& [key, status] : ready_) {
      if (key.first == fingerprint) newest = &status;  // in the order of epochs
    }
    return newest;
  }
  size_t n_loaded() const { return ready_.size(); }

 private:
  net::Clock& clock_;
  net::Duration load_time_;
  Cluster* cluster_ = nullptr;
  std::function<std::optional<std::string>(const wire::InstanceRecord&, int32_t)> failure_;
  using Key = std::pair<std::string, Epoch>;
  std::map<Key, net::TimerId> timers_;
  std::map<Key, wire::StageStatus> ready_;
  std::vector<Load> loads_;
  std::vector<std::string> unloads_;
};

}  // namespace exo::cluster::testing
