// The ring whose slowest stage or transfer is fastest, which bounds the tokens/s of a full pipeline; among those
// the one with the least time per token. Stages are timed with the sequences that are in one when all devices take
// part.

#include <algorithm>

#include "cluster/ring_search.h"

namespace exo::cluster {
namespace {

// Rings for the pass: with the fastest slowest stage, and with the least sum.
void add_ring(const PlacementProblem& problem, const Pass& pass, Minimise minimise, std::vector<Choice>& choices) {
  const SearchSpace space = make_search_space(problem, single_teams(problem), pass);
  const auto ring = search_ring(space, minimise);
  if (ring) choices.push_back({choices_of(space, *ring), ring->optimal, Strategy::kThroughput, {}});
}

}  // namespace

Result<Choice> choose_throughput(const PlacementProblem& problem) {
  const auto stages = std::min<int64_t>(static_cast<int64_t>(problem.devices.size()), problem.memory.n_layers());
  Pass pass = problem.costs.decode_pass(problem.request.concurrency);
  const double batch = static_cast<double>(problem.request.concurrency) / static_cast<double>(stages);
  pass.rows = pass.sequences = pass.logit_rows = std::max(1.0, batch);
  std::vector<Choice> choices;
  add_ring(problem, pass, Minimise::kBottleneck, choices);
  if (choices.empty()) return std::unexpected(ring_refusal(problem));
  return std::move(choices.front());
}

std::vector<Choice> choose_for_prefill(const PlacementProblem& problem) {
  const int32_t rows = std::min(kPrefillChunkRows, problem.request.prompt_tokens);
  Pass pass = problem.costs.prefill_pass(rows, (problem.request.prompt_tokens - rows) / 2.0, false);
  pass.logit_rows = 1;
  std::vector<Choice> choices;
  for (const Minimise minimise : {Minimise::kSum, Minimise::kBottleneck})
    add_ring(problem, pass, minimise, choices);
  for (auto& choice : choices) choice.optimal = false;
  return choices;
}

}  // namespace exo::cluster
