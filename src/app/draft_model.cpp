#include "app/draft_model.h"

#include <algorithm>
#include <array>
#include <utility>

#include "app/device_profile.h"
#include "app/live_view.h"
#include "base/log.h"
#include "cluster/stage_memory.h"
#include "model/load.h"
#include "net/caught.h"
#include "ops/cpu/cpu_ops.h"
#include "text/same_vocabulary.h"

namespace exo::app {
namespace {

constexpr std::string_view kComponent = "draft";
constexpr int32_t kBlockPositions = 32;
constexpr int32_t kMaxBatchRows = 128;  // several sequences' next tokens, or a chunk that is read

bool keeps_state(const wire::ModelFacts& facts) {
  return std::ranges::any_of(facts.state_bytes, [](uint64_t bytes) { return bytes > 0; });
}

// What the stages that this node has, or is to have, were planned to take.
uint64_t taken_by_stages(const cluster::Cluster& cluster) {
  const auto models = cluster.models();
  uint64_t taken = 0;
  const auto add = [&](const wire::InstanceRecord& record, int32_t index) {
    const auto model = std::ranges::find(models, record.fingerprint, &wire::ModelFacts::fingerprint);
    if (model == models.end()) return;
    cluster::PlacementRequest request;
    request.context_tokens = record.context_tokens;
    request.max_sequences = record.max_sequences;
    const auto memory = cluster::StageMemory::of(*model, request);
    const auto& stage = record.stages[static_cast<size_t>(index)];
    if (!memory || stage.layers.end.value > memory->n_layers()) return;
    const double share = stage.share_of(cluster.self().id).value_or(1);
    taken += static_cast<uint64_t>(
        share * static_cast<double>(memory->need(stage.layers.begin.value, stage.layers.end.value)));
  };
  for (const auto& view : cluster.instances()) {
    if (view.record.stopped) continue;
    if (view.own_stage) add(view.record, *view.own_stage);
    if (view.own_previous_stage) add(cluster::previous_record(view.record), *view.own_previous_stage);
  }
  return taken;
}

}  // namespace

Result<uint64_t> draft_bytes(const wire::ModelFacts& facts, int32_t context_tokens) {
  cluster::PlacementRequest request;
  request.context_tokens = context_tokens;
  request.max_sequences = 1;
  request.max_batch_rows = kMaxBatchRows;
  EXO_TRY(const auto memory, cluster::StageMemory::of(facts, request));
  return memory.need(0, memory.n_layers());
}

// With the device that the model computes on, which it must not outlive.
struct DraftModel::Engine {
  std::unique_ptr<ops::Ops> device;
  std::unique_ptr<ring::DraftEngine> drafts;
};

DraftModel::DraftModel(const NodeOptions& options, net::EventLoop& loop, ModelFiles& files, const Library& library,
                       std::string name, ring::IdleGate gate)
    : options_(options),
      loop_(loop),
      files_(files),
      library_(library),
      name_(std::move(name)),
      gate_(std::move(gate)) {}

DraftModel::~DraftModel() { stop(); }

void DraftModel::connect(cluster::Cluster& cluster, serve::RingService& ring, DeviceWatch& device) {
  cluster_ = &cluster;
  ring_ = &ring;
  device_ = &device;
}

void DraftModel::stop() {
  stopping_ = true;
  worker_.finish();
}

// ---- the model and its memory

void DraftModel::refresh() {
  if (name_.empty() || (state_ != State::kSearching && state_ != State::kFound)) return;
  Status found = state_ == State::kSearching ? find() : Status();
  if (found) found = set_memory_aside();
  if (!found) return refuse(state_, found.error());
  if (std::exchange(state_, State::kFound) == State::kSearching) {
    problem_.clear();
    ring_->offer_drafters();
  }
  begin_load();
}

Status DraftModel::find() {
  EXO_TRY(facts_, library_.resolve(name_));
  if (keeps_state(facts_)) {
    state_ = State::kRefused;
    return fail(ErrorCode::kUnsupported,
                "{} ({}) keeps a state for each sequence and cannot take wrong guesses back", facts_.name,
                facts_.architecture);
  }
  EXO_TRY(bytes_, draft_bytes(facts_, options_.context_tokens));
  return {};
}

Status DraftModel::set_memory_aside() {
  const uint64_t usable = cluster::StageMemory::usable(memory_budget_bytes(options_));
  const bool fits = bytes_ <= usable;
  device_->set_aside(fits ? bytes_ : 0);
  if (fits) return {};
  return fail(ErrorCode::kResourceExhausted, "{} takes {} bytes with a cache of {} tokens, this device can use {}",
              facts_.name, bytes_, options_.context_tokens, usable);
}

// Stages that were placed before the draft model was found may have left too little.
Status DraftModel::check_stages() const {
  const uint64_t usable = cluster::StageMemory::usable(memory_budget_bytes(options_));
  const uint64_t taken = taken_by_stages(*cluster_);
  if (taken + bytes_ <= usable) return {};
  return fail(ErrorCode::kResourceExhausted,
              "{} takes {} bytes with a cache of {} tokens; of {} that this device can use its stages take {}",
              facts_.name, bytes_, options_.context_tokens, usable, taken);
}

void DraftModel::refuse(State state, const Error& why) {
  state_ = state;
  if (problem_ == why.message) return;
  problem_ = why.message;
  log_warning(kComponent, "--draft {}: {}", name_, problem_);
}

// Once it is known to be of use.
void DraftModel::begin_load() {
  if (state_ != State::kFound) return;
  if (std::ranges::none_of(targets_, [](const auto& target) { return target.second.fits(); }))
    return problem_.clear();
  if (const Status room = check_stages(); !room) return refuse(State::kFound, room.error());
  state_ = State::kLoading;
  problem_.clear();
  const bool accepted = worker_.submit(
      [this] { loop_.post([this, engine = net::caught([this] { return load(); })] { on_loaded(engine); }); });
  if (!accepted) state_ = State::kFound;
}

Result<std::shared_ptr<DraftModel::Engine>> DraftModel::load() {
  const auto go_on = [this](uint64_t, uint64_t) { return !stopping_; };
  const LayerRange layers{LayerIndex(0), LayerIndex(facts_.n_layers)};
  EXO_TRY(auto file, files_.open_layers(facts_.fingerprint, layers, model::TensorShare(), go_on));
  auto engine = std::make_shared<Engine>();
  engine->device = ops::make_cpu_ops({options_.threads});
  model::StageConfig config;
  config.layers = layers;
  config.max_batch_rows = kMaxBatchRows;
  config.block_positions = kBlockPositions;
  config.n_blocks = (options_.context_tokens + kBlockPositions - 1) / kBlockPositions;
  config.max_sequence_positions = options_.context_tokens;
  config.max_slots = 1;
  EXO_TRY(auto stage, model::load_stage(std::move(file), config, *engine->device, go_on));
  const uint64_t weights = stage->weight_bytes(), cache = stage->kv_bytes();
  EXO_TRY(engine->drafts, ring::DraftEngine::start(loop_, std::move(stage), gate_));
  log_info(kComponent, "loaded {} to guess with: {} of weights, {} of cache", facts_.name, human_bytes(weights),
           human_bytes(cache));
  return engine;
}

void DraftModel::on_loaded(Result<std::shared_ptr<Engine>> engine) {
  if (stopping_) return;
  if (!engine) return refuse(State::kRefused, engine.error());
  engine_ = std::move(*engine);
  state_ = State::kReady;
  ring_->offer_drafters();
}

// ---- the models it guesses for

std::unique_ptr<ring::Drafter> DraftModel::drafter_for(const std::string& fingerprint, ring::DraftSink& sink) {
  if (name_.empty() || state_ == State::kSearching || state_ == State::kRefused) return nullptr;
  const auto [found, is_new] = targets_.try_emplace(fingerprint);
  const Target& target = found->second;
  if (is_new) {
    compare(fingerprint);
  } else if (engine_ && target.fits()) {
    return engine_->drafts->make_drafter(sink, target.shared_tokens);
  }
  return nullptr;
}

void DraftModel::compare(const std::string& fingerprint) {
  const bool accepted = worker_.submit([this, fingerprint] {
    auto shared = net::caught([&] { return shared_with(fingerprint); });
    loop_.post([this, fingerprint, shared = std::move(shared)] { on_compared(fingerprint, shared); });
  });
  if (!accepted) targets_.erase(fingerprint);
}

Result<int32_t> DraftModel::shared_with(const std::string& fingerprint) {
  if (!tokenizer_) {
    EXO_TRY(const auto header, files_.open_header(facts_.fingerprint));
    EXO_TRY(tokenizer_, text::load_tokenizer(header->metadata()));
  }
  EXO_TRY(const auto header, files_.open_header(fingerprint));
  EXO_TRY(const auto tokenizer, text::load_tokenizer(header->metadata()));
  return text::shared_vocabulary(*tokenizer_, *tokenizer);
}

void DraftModel::on_compared(const std::string& fingerprint, const Result<int32_t>& shared) {
  if (stopping_) return;
  Target& target = targets_[fingerprint];
  target.compared = true;
  if (!shared) {
    target.why_not = shared.error().message;
    const auto view = cluster_->find_instance(fingerprint);
    log_warning(kComponent, "{} does not guess for {}: {}", facts_.name,
                view ? view->record.model_name : fingerprint, target.why_not);
    return;
  }
  target.shared_tokens = *shared;
  begin_load();
  if (engine_) ring_->offer_drafters();
}

std::optional<api::DraftView> DraftModel::view() const {
  if (name_.empty()) return std::nullopt;
  constexpr std::array<std::string_view, 5> kNames = {"searching", "waiting", "loading", "ready", "refused"};
  api::DraftView view{.model = facts_.name.empty() ? name_ : facts_.name, .bytes = bytes_, .problem = problem_};
  view.state = problem_.empty() ? kNames[static_cast<size_t>(state_)] : "refused";
  for (const auto& [fingerprint, target] : targets_) view.why_not[fingerprint] = target.why_not;
  return view;
}

}  // namespace exo::app
