// Predicted times. Decode is bound by reading each weight once per token; prefill by arithmetic.
//
//   decode_ms  = bytes of the stage's layers (and head) / memory bandwidth
//   hop_ms     = half a round trip + one f32 row / link bandwidth; back to the first stage only a token travels
//   ms/token   = sum of both over the ring
//   TTFT(512)  = sum over stages of max(512 × 2 operations per weight / arithmetic rate, decode_ms), plus the hops

#include <algorithm>

#include "base/element_type.h"
#include "cluster/strategies.h"

namespace exo::cluster {
namespace {

// What is assumed of a device or link that was not measured yet.
constexpr double kAssumedBandwidth = 10e9, kAssumedOps = 100e9;
constexpr double kAssumedRoundTrip = 1e-3, kAssumedLinkBandwidth = 100e6;
constexpr double kTtftRows = 512;

double bits_per_weight(const std::string& weight_type) {
  std::string name = weight_type;
  while (!name.empty()) {  // "Q4_K_M" → "Q4_K"
    if (const auto* type = find_element_type(std::string_view(name))) {
      return 8.0 * type->block_bytes / type->block_elements;
    }
    const size_t cut = name.rfind('_');
    name.resize(cut == std::string::npos ? 0 : cut);
  }
  return 8;
}

double read_bytes(const PlacementProblem& problem, int32_t begin, int32_t end) {
  const uint64_t all = problem.memory.weight_bytes(begin, end);
  return static_cast<double>(begin == 0 ? all - problem.model.embedding_bytes : all);  // of the embedding, one row
}

PlacementLink link_between(const PlacementProblem& problem, const NodeId& a, const NodeId& b) {
  PlacementLink best{a, b, kAssumedRoundTrip, kAssumedLinkBandwidth};
  for (const auto& link : problem.links) {
    if (!((link.a == a && link.b == b) || (link.a == b && link.b == a))) continue;
    if (link.round_trip_s > 0) best.round_trip_s = link.round_trip_s;
    if (link.bandwidth_bytes_per_s > 0) best.bandwidth_bytes_per_s = link.bandwidth_bytes_per_s;
  }
  return best;
}

double hop_ms(const PlacementLink& link, double bytes) {
  return 1e3 * (link.round_trip_s / 2 + bytes / link.bandwidth_bytes_per_s);
}

}  // namespace

double decode_ms(const PlacementProblem& problem, const PlacementDevice& device, int32_t begin, int32_t end) {
  const double bandwidth = device.profile.memory_bandwidth_bytes_per_s;
  return 1e3 * read_bytes(problem, begin, end) / (bandwidth > 0 ? bandwidth : kAssumedBandwidth);
}

Plan estimate(const PlacementProblem& problem, const Choices& choices) {
  Plan plan;
  plan.strategy = problem.request.strategy;
  plan.context_tokens = problem.request.context_tokens;
  const double row_bytes = 4.0 * problem.model.d_model;
  const double ops_per_byte = 2 * 8 / bits_per_weight(problem.model.weight_type);
  double slowest = 0;
  for (size_t i = 0; i < choices.size(); ++i) {
    const auto& [device, begin, end] = choices[i];
    StageEstimate stage;
    stage.device = *device;
    stage.layers = {LayerIndex(begin), LayerIndex(end)};
    stage.weight_bytes = problem.memory.weight_bytes(begin, end);
    stage.kv_bytes = problem.memory.kv_bytes(begin, end);
    stage.activation_bytes = problem.memory.activation_bytes(begin, end);
    stage.budget_bytes = device->profile.memory_budget_bytes;
    stage.decode_ms = decode_ms(problem, *device, begin, end);
    const double ops = device->profile.int8_ops_per_s > 0 ? device->profile.int8_ops_per_s : kAssumedOps;
    const double prefill_ms = 1e3 * kTtftRows * ops_per_byte * read_bytes(problem, begin, end) / ops;
    plan.ttft_ms_512 += std::max(prefill_ms, stage.decode_ms);
    if (choices.size() > 1) {
      const bool last = i + 1 == choices.size();
      const auto link = link_between(problem, device->id, choices[last ? 0 : i + 1].device->id);
      stage.hop_ms = hop_ms(link, last ? 64 : row_bytes);
      plan.ttft_ms_512 += hop_ms(link, last ? 64 : kTtftRows * row_bytes);
    }
    slowest = std::max(slowest, stage.decode_ms);
    plan.ms_per_token += stage.decode_ms + stage.hop_ms;
    plan.stages.push_back(std::move(stage));
  }
  if (plan.ms_per_token > 0) {
    plan.tokens_per_s_one = 1e3 / plan.ms_per_token;
    plan.tokens_per_s_full = 1e3 / std::max(slowest, plan.ms_per_token / static_cast<double>(choices.size()));
  }
  return plan;
}

}  // namespace exo::cluster
