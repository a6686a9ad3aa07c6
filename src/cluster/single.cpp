// The whole model on one device: the preferred one when it fits there, else the fastest that holds it.

#include "cluster/strategies.h"

namespace exo::cluster {

Result<Choices> choose_single(const PlacementProblem& problem) {
  const int32_t layers = problem.memory.n_layers();
  if (problem.request.min_stages > 1) {
    return fail(ErrorCode::kInvalidArgument, "strategy single has one stage, {} were asked for",
                problem.request.min_stages);
  }
  const Pass pass = problem.costs.decode_pass();
  const PlacementDevice* best = nullptr;
  double best_ms = 0;
  for (const auto& device : problem.devices) {
    const Team team{{&device, 1.0}};
    if (!problem.costs.fits(team, 0, layers)) continue;
    const double ms = problem.costs.stage_ms(team, 0, layers, pass);
    const bool preferred = device.id == problem.request.preferred;
    if (best == nullptr || preferred || (ms < best_ms && best->id != problem.request.preferred)) {
      best = &device;
      best_ms = ms;
    }
  }
  if (best != nullptr) return Choices{{best, 0, layers}};
  const PlacementDevice& largest = problem.devices.front();
  return std::unexpected(does_not_fit(problem, fmt::format("the largest device ({}) offers", largest.name),
                                      problem.memory.need(0, layers),
                                      StageMemory::usable(largest.profile.memory_budget_bytes)));
}

}  // namespace exo::cluster
