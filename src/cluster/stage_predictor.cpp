#include "cluster/stage_predictor.h"

namespace exo::cluster {
namespace {

std::vector<PlacementDevice> uncorrected(wire::DeviceProfile profile) {
  profile.decode_correction = profile.prefill_correction = 0;
  profile.memory_budget_bytes = UINT64_MAX / 2;
  return {{NodeId{}, "", std::move(profile), {}}};
}

}  // namespace

Result<std::unique_ptr<StagePredictor>> StagePredictor::make(const wire::ModelFacts& model,
                                                             const wire::DeviceProfile& profile,
                                                             LayerRange layers) {
  EXO_TRY(StageMemory memory, StageMemory::of(model, {}));
  if (layers.begin.value < 0 || layers.begin >= layers.end || layers.end.value > memory.n_layers()) {
    return fail(ErrorCode::kInvalidArgument, "{} has no layers from {} to {}", model.name, layers.begin.value,
                layers.end.value);
  }
  return std::unique_ptr<StagePredictor>(new StagePredictor(model, profile, layers, std::move(memory)));
}

StagePredictor::StagePredictor(const wire::ModelFacts& model, const wire::DeviceProfile& profile, LayerRange layers,
                               StageMemory memory)
    : model_(model),
      layers_(layers),
      memory_(std::move(memory)),
      device_(uncorrected(profile)),
      costs_(model_, device_, {}, request_, memory_) {}

double StagePredictor::pass_ms(const Pass& pass) const {
  return costs_.stage_ms({{&device_.front(), 1.0}}, layers_.begin.value, layers_.end.value, pass);
}

StagePrediction StagePredictor::predict(int32_t positions) const {
  const Pass decode{1, 1, static_cast<double>(positions), 1, true};
  const double chunk_ms = pass_ms(costs_.prefill_pass(kPrefillChunkRows, positions, false));
  return {pass_ms(decode), chunk_ms / kPrefillChunkRows};
}

Result<StagePrediction> predict_stage(const wire::ModelFacts& model, const PlacementDevice& device,
                                      LayerRange layers, int32_t positions) {
  EXO_TRY(const auto predictor, StagePredictor::make(model, device.profile, layers));
  return predictor->predict(positions);
}

}  // namespace exo::cluster
