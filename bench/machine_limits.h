#pragma once
// What the machine can do at most, measured on the spot: the yardstick of every other number.

#include <cstdint>

namespace exo::bench {

// Best of several passes of `threads` threads that each read their part of `bytes` as one stream, in GB/s.
double read_bandwidth_gbps(int threads, uint64_t bytes);
// Integer multiplications and additions of 8-bit products with the widest dot instruction, per second and core / 1e9.
double int8_peak_gops();
// The same for f32 fused multiply-adds.
double f32_peak_gflops();

}  // namespace exo::bench
