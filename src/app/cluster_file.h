#pragma once
// Clusters that are only imagined: devices and links from a TOML or JSON file, for `exo plan --devices`.
//
//   [[devices]]
//   name = "study"            # needed, like memory
//   memory = "64GiB"          # what exo may use
//   bandwidth_gb_s = 400      # of memory, thousands of millions of bytes
//   int8_tops = 20            # quantised matrix products, 10^12 operations per second
//   f32_tflops = 10
//   disk_mb_s = 3000          # optional, like overhead_us (of one pass through a stage)
//
//   [link]                    # between all pairs
//   round_trip_ms = 0.5
//   gbit_s = 1
//
//   [[links]]                 # but between these
//   between = ["study", "laptop"]
//   round_trip_ms = 4
//   gbit_s = 0.3
//
// JSON has the same keys.

#include <filesystem>
#include <vector>

#include "cluster/placement.h"

namespace exo::app {

struct ImaginedCluster {
  std::vector<cluster::PlacementDevice> devices;
  std::vector<cluster::PlacementLink> links;  // one for every pair
};

// kInvalidArgument names the file and what is wrong in it; unknown keys are errors.
Result<ImaginedCluster> read_cluster_file(const std::filesystem::path& path);

}  // namespace exo::app
