#pragma once
// The CPU as a device.

#include <memory>
#include <string>

#include "ops/ops.h"

namespace exo::ops {

struct CpuOptions {
  int32_t threads = 0;  // 0: one per physical core
  std::string kernels;  // name of a kernels::KernelTable; empty or not there: the fastest
};

std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options);

}  // namespace exo::ops
