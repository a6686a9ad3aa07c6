// The ring with the least predicted time per token: which devices, in which order, with which layers.

#include "cluster/ring_search.h"

namespace exo::cluster {

Result<Choice> choose_fastest(const PlacementProblem& problem) {
  const Pass pass = problem.costs.decode_pass();
  SearchSpace space = make_search_space(problem, single_teams(problem), pass);
  auto ring = search_ring(space, Minimise::kSum);
  if (!ring && problem.request.larger_than_memory) {
    space = make_search_space(problem, single_teams(problem), pass, true);
    ring = search_ring(space, Minimise::kSum);
  }
  if (!ring) return std::unexpected(ring_refusal(problem));
  return Choice{choices_of(space, *ring), ring->optimal, Strategy::kFastest, {}};
}

}  // namespace exo::cluster
