#pragma once
// place(model, devices, links, request) → Plan or why not. Pure: every node computes the same from the same facts.
// docs/placement.md explains the cost model and the strategies with worked examples.

#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "wire/messages.h"

namespace exo::cluster {

enum class Strategy {
  kRingMemoryWeighted,  // default: layers in proportion to memory, ordered by memory
  kFastest,             // the subset, order and split with the least predicted time per token
  kThroughput,          // those whose slowest stage is fastest
  kTensorParallel,      // one stage, every layer divided over a group of devices
  kHybrid,              // as kFastest, with groups for stages where that is faster
  kSingle,              // the whole model on one device
  kManual,              // as asked: names and layer counts
  kAuto,                // predicts all of the above and takes the best for the objective
};

Result<Strategy> parse_strategy(std::string_view name);  // "ring-memory-weighted", …; the error lists the names
std::string_view to_string(Strategy strategy);
std::string strategy_names();  // "ring-memory-weighted, fastest, …"

enum class Objective { kLatency, kThroughput, kTtft };  // ms per token; tokens/s of many requests; first token

Result<Objective> parse_objective(std::string_view name);  // "latency", "throughput", "ttft"
std::string_view to_string(Objective objective);

struct PlacementDevice {
  NodeId id;
  std::string name;
  wire::DeviceProfile profile;
  std::vector<wire::StageTimes> stage_times;  // measured, of what it runs now
  bool operator==(const PlacementDevice&) const = default;
};

// Between two devices, either direction.
struct PlacementLink {
  NodeId a, b;
  double round_trip_s = 0;
  double bandwidth_bytes_per_s = 0;  // 0: unknown
};

struct ManualStage {
  std::string node;  // name or (prefix of) id
  int32_t n_layers = 0;
};

inline constexpr int32_t kReferencePositions =
    512;  // in the cache when a measured and a predicted time are compared

// The scheduler keeps one micro-batch in flight per stage, more while links make stages wait, but no more than
// these.
inline constexpr int32_t kMostMicroBatchesPerStage = 4;

struct PlacementRequest {
  Strategy strategy = Strategy::kRingMemoryWeighted;
  Objective objective = Objective::kLatency;  // kAuto
  int32_t context_tokens = 4096;  // KV positions that must fit on every stage; predictions take the cache as full
  int32_t max_batch_rows = 512;
  int32_t max_sequences = 16;  // how many the instance runs at once
  int32_t min_stages = 1;      // at least so many devices, also when memory does not ask for it
  std::vector<ManualStage> manual;
  NodeId preferred;                 // kSingle: this node when it fits
  int32_t prompt_tokens = 512;      // TTFT is predicted for this prompt
  int32_t concurrency = 4;          // tokens/s are predicted for so many sequences
  bool larger_than_memory = false;  // weights beyond the budget are read from disk for every pass
  bool compare = false;             // fill Plan::alternatives
};

// A device's part of a stage: `share` of every layer, 1 unless the stage is a tensor-parallel group.
struct StageMember {
  PlacementDevice device;
  double share = 1;
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, budget_bytes = 0;
};

// The bytes are sums over the members, `device` is the first of them, which talks to the neighbours in the ring.
struct StageEstimate {
  PlacementDevice device;
  LayerRange layers;
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, budget_bytes = 0;
  uint64_t disk_bytes = 0;  // read from disk for every pass; 0 unless the stage is larger than its memory
  double decode_ms = 0;     // predicted, one token, this stage alone
  double prefill_ms = 0;    // predicted, the whole prompt, this stage alone
  double hop_ms = 0;        // to the next stage (the last: back to the first)
  double exchange_ms = 0;   // of decode_ms, what the group's gathers take
  // With kReferencePositions in the cache, when the device runs these layers of the model now; otherwise 0.
  double measured_ms = 0, predicted_for_measured_ms = 0;
  std::vector<StageMember> members;
};

// What another strategy would have given.
struct Alternative {
  Strategy strategy = Strategy::kSingle;
  size_t n_devices = 0;
  double ms_per_token = 0, ttft_ms = 0, tokens_per_s = 0;
  std::string refusal;  // why it gives no plan; then the numbers are zero
};

struct Plan {
  Strategy strategy = Strategy::kRingMemoryWeighted;
  Strategy chosen = Strategy::kRingMemoryWeighted;  // by kAuto; otherwise the same as `strategy`
  Objective objective = Objective::kLatency;
  std::vector<StageEstimate> stages;  // in ring order
  int32_t context_tokens = 0, prompt_tokens = 0, concurrency = 0;
  double ms_per_token = 0;  // predicted, one sequence, full cache
  double tokens_per_s_one = 0;
  double tokens_per_s = 0;      // predicted, with `concurrency` sequences
  double ttft_ms = 0;           // predicted, a prompt of `prompt_tokens` without anything else to do
  double slowest_stage_ms = 0;  // its decode_ms
  bool optimal = true;          // false: searched, but not to the end (many devices)
  std::vector<Alternative> alternatives;
  std::vector<std::string> unused;  // names of devices without a stage

  std::vector<wire::PlannedStage> planned_stages() const;
};

// Errors: kResourceExhausted says how many bytes are missing and where; kInvalidArgument for a manual plan that
// does not add up and for a group where the model's layers cannot be divided.
Result<Plan> place(const wire::ModelFacts& model, std::span<const PlacementDevice> devices,
                   std::span<const PlacementLink> links, const PlacementRequest& request);

// Predicted time of one decode pass (one row, `positions` in the cache) through a stage, and per row of a prefill
// chunk: what measured times are compared with. Without the corrections that such comparisons gave.
struct StagePrediction {
  double decode_ms = 0, prefill_ms_per_row = 0;
};
Result<StagePrediction> predict_stage(const wire::ModelFacts& model, const PlacementDevice& device,
                                      LayerRange layers, int32_t positions);

}  // namespace exo::cluster
