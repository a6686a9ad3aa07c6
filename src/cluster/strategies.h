#pragma once
// Each strategy chooses the devices, their order and the boundaries; place() adds the estimates.

#include <span>
#include <string>
#include <vector>

#include "cluster/cost_model.h"
#include "cluster/placement.h"
#include "cluster/stage_memory.h"

namespace exo::cluster {

struct PlacementProblem {
  const wire::ModelFacts& model;
  std::span<const PlacementDevice> devices;  // sorted by (memory budget, id), descending
  std::span<const PlacementLink> links;
  const PlacementRequest& request;
  const StageMemory& memory;
  const CostModel& costs;
};

struct StageChoice {
  StageChoice(const PlacementDevice* device, int32_t begin_layer, int32_t end_layer)
      : team{{device, 1.0}}, begin(begin_layer), end(end_layer) {}
  StageChoice(Team members, int32_t begin_layer, int32_t end_layer)
      : team(std::move(members)), begin(begin_layer), end(end_layer) {}
  Team team;
  int32_t begin = 0, end = 0;  // layers
};
using Choices = std::vector<StageChoice>;

struct Choice {
  Choices stages;
  bool optimal = true;                    // of what the strategy promises
  Strategy by = Strategy::kSingle;        // filled by place()
  std::vector<Alternative> alternatives;  // what kAuto compared
};

Result<Choices> choose_ring_memory_weighted(const PlacementProblem& problem);
Result<Choices> choose_single(const PlacementProblem& problem);
Result<Choices> choose_manual(const PlacementProblem& problem);
Result<Choice> choose_fastest(const PlacementProblem& problem);
Result<Choice> choose_throughput(const PlacementProblem& problem);
Result<Choice> choose_tensor_parallel(const PlacementProblem& problem);
Result<Choice> choose_hybrid(const PlacementProblem& problem);
// Likewise, when it is known what `fastest` and `tensor-parallel` choose.
Result<Choice> choose_hybrid(const PlacementProblem& problem, const Result<Choice>& fastest,
                             const Result<Choice>& group);
Result<Choice> choose_auto(const PlacementProblem& problem);
// Rings whose prefill is fast: the candidates of kAuto for Objective::kTtft.
std::vector<Choice> choose_for_prefill(const PlacementProblem& problem);

// Any of them by name; Choice::by says which one it was in the end.
Result<Choice> choose(const PlacementProblem& problem, Strategy strategy);
// What kAuto chooses from, as the devices and the model allow; ties go to the earlier.
std::vector<Strategy> compared_strategies(const PlacementProblem& problem);
Alternative alternative_of(const PlacementProblem& problem, Strategy strategy, const Result<Choice>& choice);

// Adds bytes and predicted times (estimate.cpp).
Plan estimate(const PlacementProblem& problem, const Choices& choices);

// "12.3 GiB", for people.
std::string human_bytes(uint64_t bytes);
// The refusal of a model that fits nowhere: what it needs, what there is, what is missing.
Error does_not_fit(const PlacementProblem& problem, std::string_view where, uint64_t need_bytes,
                   uint64_t have_bytes);
// The refusal of a ring over all devices, in bytes.
Error ring_refusal(const PlacementProblem& problem);

}  // namespace exo::cluster
