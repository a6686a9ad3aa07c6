#pragma once
// Each strategy chooses the devices, their order and the boundaries; place() adds the estimates.

#include <span>
#include <string>
#include <vector>

#include "cluster/placement.h"
#include "cluster/stage_memory.h"

namespace exo::cluster {

struct PlacementProblem {
  const wire::ModelFacts& model;
  std::span<const PlacementDevice> devices;  // sorted by (memory budget, id), descending
  std::span<const PlacementLink> links;
  const PlacementRequest& request;
  const StageMemory& memory;
};

struct StageChoice {
  const PlacementDevice* device = nullptr;
  int32_t begin = 0, end = 0;  // layers
};
using Choices = std::vector<StageChoice>;

Result<Choices> choose_ring_memory_weighted(const PlacementProblem& problem);
Result<Choices> choose_single(const PlacementProblem& problem);
Result<Choices> choose_manual(const PlacementProblem& problem);

// Adds bytes and predicted times (cost_model.cpp).
Plan estimate(const PlacementProblem& problem, const Choices& choices);
// Predicted time of one token through these layers on the device.
double decode_ms(const PlacementProblem& problem, const PlacementDevice& device, int32_t begin, int32_t end);

// "12.3 GiB", for people.
std::string human_bytes(uint64_t bytes);
// The refusal of a model that fits nowhere: what it needs, what there is, what is missing.
Error does_not_fit(const PlacementProblem& problem, std::string_view where, uint64_t need_bytes,
                   uint64_t have_bytes);

}  // namespace exo::cluster
