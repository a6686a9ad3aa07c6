#pragma once
// Groups of devices that divide every layer among themselves, and by which shares.

#include <optional>
#include <vector>

#include "cluster/strategies.h"

namespace exo::cluster {

// Shares in whole parts (ModelFacts::tensor_parallel_parts, else 16) so that the slowest member is fastest, each
// at least one and none over its memory for the layers [begin, end). The fastest member first. nullopt: too many
// members for the parts, or it does not fit.
std::optional<Team> divide(const PlacementProblem& problem, std::vector<const PlacementDevice*> devices,
                           int32_t begin, int32_t end);
// Likewise by speed alone, whatever the memory.
std::optional<Team> divide_by_speed(const PlacementProblem& problem, std::vector<const PlacementDevice*> devices);

// Teams that are worth considering as stages: faster per layer than their members one after the other. At most
// `most`.
std::vector<Team> promising_teams(const PlacementProblem& problem, std::span<const PlacementDevice* const> devices,
                                  size_t most);

}  // namespace exo::cluster
