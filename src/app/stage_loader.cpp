#include "app/stage_loader.h"

#include <chrono>

#include "app/live_view.h"
#include "app/weight_streaming.h"
#include "base/log.h"
#include "model/load.h"
#include "net/caught.h"
#include "ops/cpu/cpu_ops.h"
#include "ring/engine_thread.h"
#include "ring/group_links.h"

namespace exo::app {

namespace {

constexpr int32_t kBlockPositions = 32;
constexpr int32_t kMaxBatchRows = 512;
constexpr auto kReportEvery = std::chrono::milliseconds(200);

int32_t blocks_of(const wire::InstanceRecord& record) {
  return (record.context_tokens + kBlockPositions - 1) / kBlockPositions;
}

// An engine together with the device it computes on, which it must not outlive.
class OwnedEngine final : public ring::StageExecutor {
 public:
  OwnedEngine(net::Clock& clock, std::unique_ptr<ops::Ops> device, std::unique_ptr<model::Stage> stage,
              ring::EngineOptions options, ring::IdleGate gate, StageLoader::StepObserver on_step)
      : device_(std::move(device)),
        gate_(std::move(gate)),
        on_step_(std::move(on_step)),
        engine_(clock, std::move(stage), std::move(options)) {}
  void execute(wire::Step step, std::function<void(Result<ring::StageOutput>)> done) override {
    auto measured = [this, fingerprint = step.fingerprint, shape = cluster::shape_of(step), busy = gate_.enter(),
                     done = std::move(done)](Result<ring::StageOutput> output) mutable {
      if (output && on_step_) {
        shape.ms = output->compute_s * 1e3;
        on_step_(fingerprint, shape);
      }
      done(std::move(output));
    };
    engine_.execute(std::move(step), std::move(measured));
  }
  bool keeps_state() const override { return engine_.keeps_state(); }
  void interrupt(MicroBatchId newest) override { engine_.interrupt(newest); }
  std::optional<ring::CacheLayout> cache_layout() const override { return engine_.cache_layout(); }
  void read_cache(ring::CachePart part, std::function<void(Result<std::vector<std::byte>>)> done) override {
    engine_.read_cache(std::move(part), std::move(done));
  }
  void write_cache(ring::CachePart part, std::vector<std::byte> bytes, std::function<void(Status)> done) override {
    engine_.write_cache(std::move(part), std::move(bytes), std::move(done));
  }
  void complete_blocks(std::vector<BlockId> blocks, std::function<void(Status)> done) override {
    engine_.complete_blocks(std::move(blocks), std::move(done));
  }

 private:
  std::unique_ptr<ops::Ops> device_;
  ring::IdleGate gate_;
  const StageLoader::StepObserver on_step_;
  ring::EngineThread engine_;
};

}  // namespace

struct StageLoader::Job {
  wire::InstanceRecord record;
  int32_t stage_index = 0;
  std::atomic<bool> cancelled = false;
  std::chrono::steady_clock::time_point last_report;

  const LayerRange& layers() const { return record.stages[stage_index].layers; }
  const auto& members() const { return record.stages[static_cast<size_t>(stage_index)].members; }
  wire::StageStatus status(wire::StageState state) const {
    return {record.fingerprint, record.epoch, layers(), state, 0, 0, {}};
  }
};

StageLoader::StageLoader(net::EventLoop& loop, ModelFiles& files, const NodeId& self, net::GroupConnector& groups,
                         int32_t threads, ring::IdleGate gate)
    : loop_(loop), files_(files), self_(self), groups_(groups), threads_(threads), gate_(std::move(gate)) {}

StageLoader::~StageLoader() { stop(); }

void StageLoader::connect(cluster::Cluster& cluster, serve::RingService& ring) {
  cluster_ = &cluster;
  ring_ = &ring;
}

void StageLoader::dispose(std::unique_ptr<ring::StageExecutor> executor) {
  // std::function wants copies; the pointer is shared until the task has run.
  auto shared = std::shared_ptr<ring::StageExecutor>(std::move(executor));
  worker_.submit([shared = std::move(shared)]() mutable { shared.reset(); });
}

void StageLoader::stop() {
  stopping_ = true;
  worker_.finish();
}

void StageLoader::load_stage(const wire::InstanceRecord& record, int32_t stage_index) {
  auto job = std::make_shared<Job>();
  job->record = record;
  job->stage_index = stage_index;
  jobs_[{record.fingerprint, record.epoch}] = job;
  if (!worker_.submit([this, job] { run(job); })) {
    auto status = job->status(wire::StageState::kFailed);
    status.error = "this device is stopping";
    report(job, std::move(status));
  }
}

void StageLoader::unload_stage(const std::string& fingerprint, const Epoch& epoch) {
  if (auto it = jobs_.find({fingerprint, epoch}); it != jobs_.end()) {
    it->second->cancelled = true;
    jobs_.erase(it);
  }
  ring_->remove_executor(fingerprint, epoch);
}

void StageLoader::report(const std::shared_ptr<Job>& job, wire::StageStatus status) {
  loop_.post([this, job, status = std::move(status)] {
    if (!job->cancelled && !stopping_) cluster_->report_stage(status);
  });
}

bool StageLoader::report_progress(const std::shared_ptr<Job>& job, uint64_t done_bytes, uint64_t total_bytes) {
  if (job->cancelled || stopping_) return false;
  const auto now = std::chrono::steady_clock::now();
  if (now - job->last_report >= kReportEvery || done_bytes == total_bytes) {
    job->last_report = now;
    auto status = job->status(wire::StageState::kLoading);
    status.done_bytes = done_bytes;
    status.total_bytes = total_bytes;
    report(job, std::move(status));
  }
  return true;
}

Result<model::TensorShare> StageLoader::share_of(const Job& job) const {
  if (job.members().empty()) return model::TensorShare();
  std::vector<uint32_t> shares;
  int32_t own = -1;
  for (const auto& member : job.members()) {
    if (member.node == self_) own = static_cast<int32_t>(shares.size());
    shares.push_back(member.share);
  }
  return model::TensorShare::make(shares, own);
}

Result<std::unique_ptr<ring::StageGroup>> StageLoader::join_group(const Job& job, const model::TensorShare& share) {
  if (job.members().empty()) return nullptr;
  std::vector<NodeId> nodes;
  for (const auto& member : job.members()) nodes.push_back(member.node);
  const auto& record = job.record;
  EXO_TRY(auto port, groups_.open_group(fmt::format("{}.{}.{}.{}", record.fingerprint, record.epoch.counter,
                                                    record.epoch.proposer.hex(), job.stage_index),
                                        nodes));
  return std::make_unique<ring::GroupLinks>(std::move(port), nodes, share.member());
}

Result<std::unique_ptr<ring::StageExecutor>> StageLoader::load(const std::shared_ptr<Job>& job) {
  auto progress = [&](uint64_t done, uint64_t total) { return report_progress(job, done, total); };
  model::StageConfig config;
  config.layers = job->layers();
  EXO_TRY(config.share, share_of(*job));
  EXO_TRY(auto file, files_.open_layers(job->record.fingerprint, config.layers, config.share, progress));
  auto device = ops::make_cpu_ops({threads_});
  config.max_batch_rows = kMaxBatchRows;
  config.block_positions = kBlockPositions;
  config.n_blocks = blocks_of(job->record);
  config.max_sequence_positions = job->record.context_tokens;
  config.max_slots = job->record.max_sequences;
  ring::EngineOptions options{.max_slots = job->record.max_sequences};
  EXO_TRY(options.group, join_group(*job, config.share));
  EXO_TRY(const auto info, model::read_model_info(*file));
  // A share was planned to fit.
  config.stream_weights = config.share.is_whole() && exceeds_memory(*file, config.layers, info.n_layers);
  EXO_TRY(auto stage, model::load_stage(std::move(file), config, *device, progress));
  log_info("node", "loaded {}layers {} to {} of {}: {} of weights, {} of cache, {}",
           config.share.is_whole() ? "" : "a share of ", job->layers().begin, job->layers().end.value - 1,
           job->record.model_name, human_bytes(stage->weight_bytes()), human_bytes(stage->kv_bytes()),
           device->description());
  return std::make_unique<OwnedEngine>(loop_, std::move(device), std::move(stage), std::move(options), gate_,
                                       on_step_);
}

void StageLoader::run(const std::shared_ptr<Job>& job) {
  if (!report_progress(job, 0, 0)) return;
  auto loaded = net::caught([&] { return load(job); });
  if (!loaded) {
    if (job->cancelled) return;
    log_warning("node", "loading {}: {}", job->record.model_name, loaded.error().message);
    auto status = job->status(wire::StageState::kFailed);
    status.error = loaded.error().message;
    return report(job, std::move(status));
  }
  auto executor = std::make_shared<std::unique_ptr<ring::StageExecutor>>(std::move(*loaded));
  loop_.post([this, job, executor] {
    if (job->cancelled || stopping_) return dispose(std::move(*executor));
    const auto& record = job->record;
    if (ring_->install_executor(record.fingerprint, record.epoch, std::move(*executor), blocks_of(record),
                                kBlockPositions, record.max_sequences, kMaxBatchRows)) {
      cluster_->report_stage(job->status(wire::StageState::kReady));
    }
  });
}

}  // namespace exo::app
