#pragma once
// The cost model for one stage on one device, without the corrections that measurements gave: what measured times
// are compared with.

#include <memory>

#include "cluster/cost_model.h"
#include "cluster/placement.h"

namespace exo::cluster {

class StagePredictor {
 public:
  // kInvalidArgument: the model has no such layers.
  static Result<std::unique_ptr<StagePredictor>> make(const wire::ModelFacts& model,
                                                      const wire::DeviceProfile& profile, LayerRange layers);
  double pass_ms(const Pass& pass) const;
  StagePrediction predict(int32_t positions) const;

 private:
  StagePredictor(const wire::ModelFacts& model, const wire::DeviceProfile& profile, LayerRange layers,
                 StageMemory memory);

  const wire::ModelFacts model_;
  const LayerRange layers_;
  const PlacementRequest request_;
  const StageMemory memory_;
  const std::vector<PlacementDevice> device_;  // one
  const CostModel costs_;
};

}  // namespace exo::cluster
