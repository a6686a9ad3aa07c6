#include "app/device_watch.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "app/device_profile.h"
#include "base/log.h"

namespace exo::app {
namespace {

constexpr int32_t kIdleRefreshes = 3;       // in a row, before a measurement begins
constexpr double kBudgetChange = 1 / 16.0;  // smaller changes of what is free are not told

}  // namespace

DeviceWatch::DeviceWatch(const NodeOptions& options, net::EventLoop& loop)
    : options_(options), loop_(loop), stale_(profile_is_stale(options)) {}

DeviceWatch::~DeviceWatch() { stop(); }

void DeviceWatch::connect(cluster::Cluster& cluster) {
  cluster_ = &cluster;
  times_.set_device(cluster.self().device);
  cluster.add_observer(this);
}

void DeviceWatch::stop() {
  stopping_ = cancelled_ = true;
  worker_.finish();
}

uint64_t DeviceWatch::budget_bytes() const {
  const uint64_t budget = memory_budget_bytes(options_);
  return budget - std::min(budget, set_aside_bytes_);
}

void DeviceWatch::set_aside(uint64_t bytes) {
  if (std::exchange(set_aside_bytes_, bytes) == bytes) return;
  cluster_->update_self([this](wire::NodeFacts& facts) { facts.device.memory_budget_bytes = budget_bytes(); });
}

void DeviceWatch::refresh(bool idle) {
  const auto& device = cluster_->self().device;
  const double budget = static_cast<double>(budget_bytes());
  const double told = static_cast<double>(device.memory_budget_bytes);
  const bool budget_moved = std::abs(budget - told) > kBudgetChange * told;
  const double decode = times_.decode_correction(), prefill = times_.prefill_correction();
  const auto stage_times = times_.stage_times();
  const bool changed = budget_moved || decode != device.decode_correction || prefill != device.prefill_correction ||
                       stage_times != cluster_->self().stage_times;
  if (changed) {
    cluster_->update_self([&](wire::NodeFacts& facts) {
      if (budget_moved) facts.device.memory_budget_bytes = static_cast<uint64_t>(budget);
      facts.device.decode_correction = decode;
      facts.device.prefill_correction = prefill;
      facts.stage_times = stage_times;
    });
  }
  idle_refreshes_ = idle ? idle_refreshes_ + 1 : 0;
  if (!idle) cancelled_ = true;  // a measurement under way would be worth nothing
  if (stale_ && idle_refreshes_ >= kIdleRefreshes) measure();
}

std::string DeviceWatch::strain() { return judge_.judge(read_strain(), loop_.now()); }

void DeviceWatch::measure() {
  stale_ = false;
  cancelled_ = stopping_.load();
  worker_.submit([this] {
    const auto profile = measure_device(options_, [this] { return cancelled_.load(); });
    if (stopping_) return;
    loop_.post([this, profile, good = !cancelled_] {
      if (stopping_) return;
      stale_ = !good;
      if (!good) return;
      log_info("node", "measured: {:.1f} GB/s, {:.0f} Gop/s int8, {:.0f} GFLOP/s, disk {:.1f} GB/s",
               profile.memory_bandwidth_bytes_per_s / 1e9, profile.int8_ops_per_s / 1e9,
               profile.f32_flops_per_s / 1e9, profile.disk_bytes_per_s / 1e9);
      cluster_->update_self([&](wire::NodeFacts& facts) {
        facts.device = profile;
        facts.device.memory_budget_bytes = budget_bytes();
      });
      times_.set_device(profile);
    });
  });
}

void DeviceWatch::on_step(const std::string& fingerprint, const cluster::MeasuredStep& step) {
  idle_refreshes_ = 0;
  times_.observe(fingerprint, step);
}

void DeviceWatch::on_instance_changed(const cluster::InstanceView& present) {
  const cluster::InstanceView view = cluster::serving_view(present);
  const auto& fingerprint = view.record.fingerprint;
  if (!view.ready || !view.own_stage) {
    if (stages_.erase(fingerprint) != 0) times_.remove_stage(fingerprint);
    return;
  }
  if (const auto known = stages_.find(fingerprint); known != stages_.end() && known->second == view.record.epoch)
    return;
  for (const auto& model : cluster_->models()) {
    if (model.fingerprint != fingerprint) continue;
    // A share's steps say nothing about the whole layers' times.
    const auto& stage = view.record.stages[static_cast<size_t>(*view.own_stage)];
    if (stage.members.empty()) times_.add_stage(model, stage.layers);
    stages_[fingerprint] = view.record.epoch;
  }
}

}  // namespace exo::app
