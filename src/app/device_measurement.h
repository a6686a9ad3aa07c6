#pragma once
// How fast this device computes and reads, measured with the operations that models are computed with.

#include <filesystem>
#include <functional>
#include <vector>

#include "wire/messages.h"

namespace exo::app {

struct DeviceRates {
  double memory_bandwidth_bytes_per_s = 0, int8_ops_per_s = 0, f32_flops_per_s = 0, disk_bytes_per_s = 0;
  std::vector<wire::FormatRate> formats;
};

// Less than a tenth of a second: matrices that just miss the caches, no formats, no disk.
DeviceRates measure_quickly(int32_t threads);

// Some seconds. `folder`: where models lie; a temporary file of 64 MiB is written there and read past the cache.
// `cancelled` is asked now and then; what was measured until then comes back.
DeviceRates measure_thoroughly(int32_t threads, const std::filesystem::path& folder,
                               const std::function<bool()>& cancelled);

// Large sequential reads from the folder's disk; 0 when it cannot be measured (no space, no uncached reads).
double measure_disk(const std::filesystem::path& folder);

}  // namespace exo::app
