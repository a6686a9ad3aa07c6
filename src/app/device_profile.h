#pragma once
// What this device can do, measured on it: memory, read bandwidth and arithmetic rates.

#include <filesystem>

#include "app/options.h"
#include "wire/messages.h"

namespace exo::app {

// Total memory of the machine or of the container around it, whichever is less.
uint64_t memory_total_bytes();
// What could be taken now without pushing anybody else out.
uint64_t memory_available_bytes();

// Measured once per machine (about half a second), then read from `data_dir`/device.json until the processor, the
// thread count or exo's version changes. The memory budget is computed anew at every call.
wire::DeviceProfile device_profile(const NodeOptions& options);

}  // namespace exo::app
