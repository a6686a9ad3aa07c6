#pragma once
// place(model, devices, links, request) → Plan or why not. Pure: every node computes the same from the same facts.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/messages.h"

namespace exo::cluster {

enum class Strategy {
  kRingMemoryWeighted,  // default: layers in proportion to memory, ordered by memory
  kSingle,              // the whole model on one device
  kManual,              // as asked: names and layer counts
};

Result<Strategy> parse_strategy(std::string_view name);  // "ring-memory-weighted", …; the error lists the names
std::string_view to_string(Strategy strategy);

struct PlacementDevice {
  NodeId id;
  std::string name;
  wire::DeviceProfile profile;
  bool operator==(const PlacementDevice&) const = default;
};

// Between two devices, either direction.
struct PlacementLink {
  NodeId a, b;
  double round_trip_s = 0;
  double bandwidth_bytes_per_s = 0;  // 0: unknown
};

struct ManualStage {
  std::string node;    // name or (prefix of) id
  int32_t n_layers = 0;
};

struct PlacementRequest {
  Strategy strategy = Strategy::kRingMemoryWeighted;
  int32_t context_tokens = 4096;  // KV positions that must fit on every stage
  int32_t max_batch_rows = 512;
  int32_t max_sequences = 16;     // how many the instance runs at once
  int32_t min_stages = 1;         // `exo plan` and demos may ask for a split that memory does not force
  std::vector<ManualStage> manual;
  NodeId preferred;               // kSingle: this node when it fits
};

struct StageEstimate {
  PlacementDevice device;
  LayerRange layers;
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, budget_bytes = 0;
  double decode_ms = 0;   // predicted, one token, this stage alone
  double hop_ms = 0;      // to the next stage (the last: back to the first)
};

struct Plan {
  Strategy strategy = Strategy::kRingMemoryWeighted;
  std::vector<StageEstimate> stages;  // in ring order
  int32_t context_tokens = 0;
  double ms_per_token = 0;            // predicted, one sequence
  double tokens_per_s_one = 0;
  double tokens_per_s_full = 0;       // with as many sequences as stages
  double ttft_ms_512 = 0;             // predicted, prompt of 512 tokens

  std::vector<wire::PlannedStage> planned_stages() const;
};

// Errors: kResourceExhausted says how many bytes are missing and where; kInvalidArgument for a manual plan that does
// not add up.
Result<Plan> place(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                   std::span<const PlacementLink> links, const PlacementRequest& request);

}  // namespace exo::cluster
