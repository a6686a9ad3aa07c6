#pragma once
// What this device can do: its memory now, and rates that are measured once per machine and kept in
// `data_dir`/device.json until the processor, the memory, the thread count or exo's version changes or a month is
// over.

#include <functional>

#include "app/options.h"
#include "app/system_memory.h"
#include "wire/messages.h"

namespace exo::app {

// Never waits long: rates come from the file, also when they are stale; without one they are measured quickly.
wire::DeviceProfile device_profile(const NodeOptions& options);

// True when a thorough measurement is due.
bool profile_is_stale(const NodeOptions& options);

// Some seconds of all threads, for a thread in the background: measures thoroughly, keeps the result, returns the
// new profile. Where `cancelled` said so, nothing is kept and the old profile comes back.
wire::DeviceProfile measure_device(const NodeOptions& options, const std::function<bool()>& cancelled);

// What exo may use now: --memory, else nine tenths of what is free or already its own, so that the owner's other
// programs do not suffer.
uint64_t memory_budget_bytes(const NodeOptions& options);

}  // namespace exo::app
