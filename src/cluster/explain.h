#pragma once
// A plan for people: one line per stage and the totals, as `exo plan` prints it.

#include <string>

#include "cluster/placement.h"

namespace exo::cluster {

std::string explain(const Plan& plan, const wire::ModelFacts& model);

}  // namespace exo::cluster
