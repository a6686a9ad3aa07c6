#pragma once
// Devices, links and models with round numbers, for tests of placement.

#include <vector>

#include "cluster/placement.h"

namespace exo::cluster::testing {

inline constexpr uint64_t kMiB = uint64_t{1} << 20, kGiB = uint64_t{1} << 30;

inline NodeId numbered_id(uint32_t n) {
  NodeId node;
  for (int i = 0; i < 4; ++i) node.bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(n >> (24 - 8 * i));
  return node;
}

inline PlacementDevice device(uint32_t n, uint64_t budget, double bandwidth = 100e9) {
  PlacementDevice d{numbered_id(n), fmt::format("device-{}", n), {}, {}};
  d.profile.memory_total_bytes = budget;
  d.profile.memory_budget_bytes = budget;
  d.profile.memory_bandwidth_bytes_per_s = bandwidth;
  d.profile.int8_ops_per_s = 1e12;
  d.profile.f32_flops_per_s = 1e12;
  d.profile.step_overhead_s = 0.5e-3;
  return d;
}

inline wire::ModelFacts model(int32_t layers, uint64_t layer_bytes, uint64_t embedding = 0, uint64_t head = 0) {
  wire::ModelFacts m;
  m.name = "test-model";
  m.fingerprint = std::string(64, 'a');
  m.weight_type = "Q8_0";
  m.n_layers = layers;
  m.d_model = 16;
  m.n_vocab = 100;
  m.layer_bytes.assign(static_cast<size_t>(layers), layer_bytes);
  m.kv_bytes_per_position.assign(static_cast<size_t>(layers), 64);
  m.embedding_bytes = embedding;
  m.head_bytes = head;
  return m;
}

}  // namespace exo::cluster::testing
