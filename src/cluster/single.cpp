// The whole model on one device: the preferred one when it fits there, else the fastest that holds it.

#include "cluster/strategies.h"

namespace exo::cluster {

Result<Choices> choose_single(const PlacementProblem& problem) {
  const int32_t layers = problem.memory.n_layers();
  if (problem.request.min_stages > 1) {
    return fail(ErrorCode::kInvalidArgument, "strategy single has one stage, {} were asked for",
                problem.request.min_stages);
  }
  const PlacementDevice* best = nullptr;
  double best_ms = 0;
  for (const auto& device : problem.devices) {
    if (!problem.memory.fits(0, layers, device.profile.memory_budget_bytes)) continue;
    const double ms = decode_ms(problem, device, 0, layers);
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
