#pragma once
// How others would share out layers, written from what their papers and documentation state, as manual placements
// for the common cost model. Devices are in the order in which a user named them.

#include <optional>
#include <span>
#include <vector>

#include "cluster/placement.h"

namespace exo::bench {

using Assignment = std::vector<cluster::ManualStage>;

// llama.cpp: all devices, in the given order, in proportion to their free memory.
Assignment llama_cpp_split(const wire::ModelFacts& model, std::span<const cluster::PlacementDevice> devices,
                           const cluster::PlacementRequest& request);

// prima.cpp's Halda (Li et al. 2025): the least sum over devices of a_m w_m, where a_m is a layer's arithmetic on
// the device; layers beyond a device's memory cost their bytes ÷ disk rate more. No memory-bandwidth and no link
// terms; devices that it gives nothing are dropped. The order is the given one.
Assignment halda_like(const wire::ModelFacts& model, std::span<const cluster::PlacementDevice> devices,
                      const cluster::PlacementRequest& request);

}  // namespace exo::bench
