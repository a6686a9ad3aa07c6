#pragma once
// What the machine can do at most, measured on the spot: the yardstick of every other number.

#include <cstdint>

#include "base/thread_pool.h"

namespace exo::bench {

// Best of many pieces of 8 MB within `bytes`, which the pool's threads read together, in GB/s: what a matrix of
// that size could reach. Best, because the machine may be busy.
double read_bandwidth_gbps(ThreadPool& pool, uint64_t bytes);
// Integer multiplications and additions of 8-bit products with the widest dot instruction, per second and core /
// 1e9.
double int8_peak_gops();
// The same for f32 fused multiply-adds.
double f32_peak_gflops();

}  // namespace exo::bench
