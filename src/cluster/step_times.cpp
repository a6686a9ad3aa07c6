#include "cluster/step_times.h"

#include <algorithm>
#include <cmath>

#include "cluster/stage_predictor.h"
#include "wire/limits.h"

namespace exo::cluster {
namespace {

const double kMostLog = std::log(64.0), kMostStepLog = std::log(2.0);
constexpr double kTellAgain = 0.1;  // relative change

// `told` follows `now` when that has moved enough.
double follow(double& told, double now) {
  if (std::abs(now - told) > kTellAgain * told) told = now;
  return told;
}

bool differs(double a, double b) { return std::abs(a - b) > 0.25 * std::max(a, b); }

}  // namespace

void RatioAverage::observe(double ratio) {
  if (!(ratio > 0) || std::isinf(ratio)) return;
  const double log_ratio = std::clamp(std::log(ratio), -kMostLog, kMostLog);
  ++count_;
  if (count_ <= kStepsToTrust) {  // a plain average first: nothing is expected yet
    log_ratio_ += (log_ratio - log_ratio_) / count_;
    return;
  }
  log_ratio_ += kStepWeight * std::clamp(log_ratio - log_ratio_, -kMostStepLog, kMostStepLog);
  count_ = kStepsToTrust;
}

double RatioAverage::value() const { return count_ < kStepsToTrust ? 0 : std::exp(log_ratio_); }

MeasuredStep shape_of(const wire::Step& step) {
  MeasuredStep shape{.sequences = static_cast<int32_t>(step.sequences.size())};
  int64_t rows = 0;
  for (const auto& sequence : step.sequences) {
    rows += sequence.n_tokens;
    shape.logit_rows += sequence.wants_logits ? 1 : 0;
    shape.positions += sequence.n_tokens * (sequence.first.value + (sequence.n_tokens + 1.0) / 2);
  }
  if (rows < 1 || rows > static_cast<int64_t>(wire::kMaxStepTokens)) return {};
  shape.rows = static_cast<int32_t>(rows);
  shape.positions /= static_cast<double>(rows);
  return shape;
}

struct StepTimes::Stage {
  wire::ModelFacts model;
  LayerRange layers;
  uint64_t weight_bytes = 0;
  std::unique_ptr<StagePredictor> predictor;
  RatioAverage decode, prefill;
  wire::StageTimes told;
};

StepTimes::StepTimes() = default;
StepTimes::~StepTimes() = default;

void StepTimes::set_device(const wire::DeviceProfile& profile) {
  const bool changed = differs(profile.memory_bandwidth_bytes_per_s, profile_.memory_bandwidth_bytes_per_s) ||
                       differs(profile.int8_ops_per_s, profile_.int8_ops_per_s) ||
                       profile.format_rates.size() != profile_.format_rates.size();
  if (!changed) return;
  profile_ = profile;
  decode_ = prefill_ = RatioAverage();
  for (auto& [fingerprint, stage] : stages_) {
    stage->decode = stage->prefill = RatioAverage();
    auto predictor = StagePredictor::make(stage->model, profile_, stage->layers);
    if (predictor) stage->predictor = std::move(*predictor);
  }
}

void StepTimes::add_stage(const wire::ModelFacts& model, LayerRange layers) {
  auto predictor = StagePredictor::make(model, profile_, layers);
  if (!predictor) return;
  auto stage = std::make_unique<Stage>();
  stage->model = model;
  stage->layers = layers;
  stage->predictor = std::move(*predictor);
  for (int32_t i = layers.begin.value; i < layers.end.value; ++i) {
    stage->weight_bytes += model.layer_bytes[static_cast<size_t>(i)];
  }
  stages_[model.fingerprint] = std::move(stage);
}

void StepTimes::remove_stage(const std::string& fingerprint) { stages_.erase(fingerprint); }

void StepTimes::observe(const std::string& fingerprint, const MeasuredStep& step) {
  const auto found = stages_.find(fingerprint);
  if (found == stages_.end() || step.rows < 1 || step.sequences < 1 || !(step.ms > 0)) return;
  const bool decode = step.rows == step.sequences;
  // Short chunks are bound by neither: they say little about prefill.
  if (!decode && (step.sequences > 1 || step.rows < kPrefillChunkRows / 4)) return;
  Stage& stage = *found->second;
  const Pass pass{static_cast<double>(step.rows), static_cast<double>(step.sequences), step.positions,
                  static_cast<double>(step.logit_rows), decode};
  const double ratio = step.ms / stage.predictor->pass_ms(pass);
  (decode ? stage.decode : stage.prefill).observe(ratio);
  if (stage.weight_bytes >= kLargeStageBytes) (decode ? decode_ : prefill_).observe(ratio);
}

double StepTimes::decode_correction() { return follow(told_decode_, decode_.value()); }
double StepTimes::prefill_correction() { return follow(told_prefill_, prefill_.value()); }

std::vector<wire::StageTimes> StepTimes::stage_times() {
  std::vector<wire::StageTimes> result;
  for (auto& [fingerprint, stage] : stages_) {
    const StagePrediction predicted = stage->predictor->predict(kReferencePositions);
    follow(stage->told.decode_ms, predicted.decode_ms * stage->decode.value());
    follow(stage->told.prefill_ms_per_row, predicted.prefill_ms_per_row * stage->prefill.value());
    if (stage->told.decode_ms <= 0 && stage->told.prefill_ms_per_row <= 0) continue;
    stage->told.fingerprint = fingerprint;
    stage->told.layers = stage->layers;
    result.push_back(stage->told);
  }
  return result;
}

}  // namespace exo::cluster
