// Predicts what every strategy would give and takes the best for the objective.

#include <cmath>
#include <map>
#include <optional>

#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

// Less is better.
double score(const Plan& plan, Objective objective) {
  switch (objective) {
    case Objective::kLatency:
      return plan.ms_per_token;
    case Objective::kThroughput:
      return -plan.tokens_per_s;
    case Objective::kTtft:
      return plan.ttft_ms;
  }
  return plan.ms_per_token;
}

}  // namespace

std::vector<Strategy> compared_strategies(const PlacementProblem& problem) {
  std::vector<Strategy> strategies{Strategy::kSingle, Strategy::kFastest, Strategy::kThroughput,
                                   Strategy::kRingMemoryWeighted};
  if (problem.devices.size() > 1 && problem.model.tensor_parallel_parts != 1) {
    strategies.push_back(Strategy::kHybrid);
    strategies.push_back(Strategy::kTensorParallel);
  }
  return strategies;
}

Result<Choice> choose_auto(const PlacementProblem& problem) {
  PlacementRequest anywhere = problem.request;
  anywhere.preferred = {};  // the fastest single device, not the asked one
  const PlacementProblem free_choice{problem.model, problem.devices, problem.links,
                                     anywhere,      problem.memory,  problem.costs};
  std::optional<Choice> best;
  std::vector<Alternative> alternatives;
  double best_score = 0;
  const auto offer = [&](Choice choice) {
    const double value = score(estimate(free_choice, choice.stages), problem.request.objective);
    if (best && value >= best_score - 1e-9 * std::abs(best_score)) return;
    best = std::move(choice);
    best_score = value;
  };
  std::map<Strategy, Result<Choice>> chosen;
  const auto strategies = compared_strategies(free_choice);
  for (const Strategy strategy : strategies) {
    if (strategy != Strategy::kHybrid) chosen.emplace(strategy, choose(free_choice, strategy));
  }
  for (const Strategy strategy : strategies) {
    if (strategy == Strategy::kHybrid) {  // these two are part of it
      auto hybrid = choose_hybrid(free_choice, chosen.at(Strategy::kFastest), chosen.at(Strategy::kTensorParallel));
      if (hybrid) hybrid->by = Strategy::kHybrid;
      chosen.emplace(strategy, std::move(hybrid));
    }
    auto& choice = chosen.at(strategy);
    alternatives.push_back(alternative_of(free_choice, strategy, choice));
    if (choice) offer(*choice);
  }
  if (problem.request.objective == Objective::kTtft) {
    for (auto& choice : choose_for_prefill(free_choice)) offer(std::move(choice));
  }
  if (!best) return std::unexpected(ring_refusal(problem));
  std::erase_if(alternatives, [&](const Alternative& a) { return a.strategy == best->by; });
  best->alternatives = std::move(alternatives);
  return std::move(*best);
}

}  // namespace exo::cluster
