#pragma once
// Everything nodes say to each other, as C++ values. wire/codec.h turns them into frames and back; docs/wire.md
// describes the bytes. Bounds on every length are in wire/limits.h and checked by the codec in both directions.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/content_pin.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/sampler_settings.h"

namespace exo::wire {

inline constexpr uint32_t kProtocolVersion = 5;

// ---- facts about nodes: gossiped ------------------------------------------------------------------------------

// How fast a device computes with weights of one number format.
struct FormatRate {
  std::string weight_type;        // "Q4_K"
  double stream_bytes_per_s = 0;  // weights read by one row (decode), all threads
  double ops_per_s = 0;           // multiplications and additions with many rows (prefill)
  double few_rows_ops_per_s =
      0;  // of each row that kFewRows rows have more than one (decodes together); 0: unknown
  static constexpr int32_t kFewRows = 8;
  bool operator==(const FormatRate&) const = default;
};

struct DeviceProfile {
  std::string os, arch, processor;  // "Linux", "x86_64", "AMD EPYC …"
  int32_t threads = 0;
  uint64_t memory_total_bytes = 0;
  uint64_t memory_budget_bytes = 0;         // what exo may use for weights, KV cache and activations
  double memory_bandwidth_bytes_per_s = 0;  // measured, all threads
  double int8_ops_per_s = 0;                // measured, quantised matrix products
  double f32_flops_per_s = 0;
  double disk_bytes_per_s = 0;           // large reads where the models lie; 0: not measured
  double step_overhead_s = 0;            // of one pass through a stage beside its arithmetic; 0: not measured
  std::vector<FormatRate> format_rates;  // of the formats that were measured
  // Real time of steps ÷ time predicted from the numbers above, smoothed; 0: nothing known.
  double decode_correction = 0, prefill_correction = 0;
  bool operator==(const DeviceProfile&) const = default;
};

// Weights of one number format: how many bytes of all layers, of the routed experts in them, and of the head.
struct FormatBytes {
  std::string weight_type;  // "Q6_K"
  uint64_t layer_bytes = 0, expert_bytes = 0, head_bytes = 0;
  bool operator==(const FormatBytes&) const = default;
};

// What placement needs to know of a model; model::ModelInfo without what only its owner needs.
struct ModelFacts {
  std::string name;         // "exo-demo", "llama-3.2-1b-instruct-Q4_0"
  std::string fingerprint;  // 64 hex digits: SHA-256 of the file's header and its size
  std::string architecture, weight_type;
  int32_t n_layers = 0, d_model = 0, n_vocab = 0, context_length = 0;
  uint64_t file_bytes = 0;
  std::vector<uint64_t> layer_bytes;  // [n_layers]
  uint64_t embedding_bytes = 0, head_bytes = 0;
  std::vector<uint64_t> kv_bytes_per_position;  // [n_layers], F16 cache
  std::vector<uint64_t> state_bytes;            // [n_layers] of each sequence, whatever its length; empty: none
  // Mixture of experts: of layer_bytes, what routed experts take [n_layers]; empty: there are none. A token reads
  // n_experts_used of n_experts.
  std::vector<uint64_t> expert_bytes;
  int32_t n_experts = 0, n_experts_used = 0;
  int32_t attention_width = 0;        // query heads × their width; 0: d_model
  int32_t tensor_parallel_parts = 0;  // into how many equal parts the heads divide at most; 0: unknown
  bool kv_whole_in_groups = false;    // all query heads read one key-value head: every member of a group caches it
  std::vector<FormatBytes> formats;   // empty: all weights are of weight_type
  int32_t feed_forward_width = 0;     // between its projections, of a row's experts together; 0: 4 d_model
  bool exchanges_norms = false;       // groups tell each other norms of many rows, not the residual stream itself
  bool operator==(const ModelFacts&) const = default;
};

struct ModelOffer {
  ModelFacts facts;
  bool complete = true;      // false: only some byte ranges are here
  std::string content_root;  // of all its bytes, 64 hex digits; empty: not computed yet, or not complete
  bool operator==(const ModelOffer&) const = default;
};

enum class StageState : uint8_t { kLoading, kReady, kFailed };

struct StageStatus {
  std::string fingerprint;
  Epoch epoch;
  LayerRange layers;
  StageState state = StageState::kLoading;
  uint64_t done_bytes = 0, total_bytes = 0;
  std::string error;  // when failed
  bool operator==(const StageStatus&) const = default;
};

// What passes through a loaded stage took lately, smoothed.
struct StageTimes {
  std::string fingerprint;
  LayerRange layers;
  double decode_ms = 0;           // one row; 0: nothing measured
  double prefill_ms_per_row = 0;  // in chunks
  bool operator==(const StageTimes&) const = default;
};

struct LinkFacts {
  NodeId peer;
  std::string interface;
  uint32_t round_trip_us = 0;        // application to application, smoothed; 0: not yet measured
  double bandwidth_bytes_per_s = 0;  // 0: not yet measured
  bool operator==(const LinkFacts&) const = default;
};

struct NodeFacts {
  NodeId id;
  uint64_t incarnation = 0;  // rises at every start of the node
  uint64_t sequence = 0;     // rises at every change within an incarnation
  std::string name, software_version;
  uint16_t peer_port = 0, api_port = 0;
  std::vector<std::string> addresses;  // where others may dial it, best first: "192.168.1.7", "fe80::…%eth0"
  DeviceProfile device;
  std::vector<ModelOffer> models;
  std::vector<StageStatus> stages;
  std::vector<LinkFacts> links;
  double tokens_per_s = 0;  // lately produced by stages of this node
  bool leaving = false;
  std::vector<StageTimes> stage_times;
  // Not empty: the node takes no new stages and wants to be rid of those it has; why, for people.
  std::string withdrawal;
  bool operator==(const NodeFacts&) const = default;
};

// ---- instances: replicated ------------------------------------------------------------------------------------

// A device that computes a share of every tensor of a stage.
struct StageMember {
  NodeId node;
  uint64_t incarnation = 0;  // of the node when it was planned; a later one has lost the stage. 0: not checked
  uint32_t share = kWholeShare;
  bool operator==(const StageMember&) const = default;

  static constexpr uint32_t kWholeShare = 1 << 16;  // the sum of a stage's shares
};

struct PlannedStage {
  NodeId node;  // of a group, its leader: takes the steps and hands on what comes out
  LayerRange layers;
  uint64_t incarnation = 0;
  std::vector<StageMember> members;  // of a group, the leader first; empty: the node alone
  bool operator==(const PlannedStage&) const = default;

  // The devices of the stage, also where it is one.
  std::vector<StageMember> all_members() const {
    return members.empty() ? std::vector<StageMember>{{node, incarnation}} : members;
  }
  // Of every tensor, 1 for all of it; nullopt: the device has no part in the stage.
  std::optional<double> share_of(const NodeId& device) const {
    if (members.empty()) return device == node ? std::optional(1.0) : std::nullopt;
    const auto found = std::ranges::find(members, device, &StageMember::node);
    if (found == members.end()) return std::nullopt;
    return static_cast<double>(found->share) / StageMember::kWholeShare;
  }
};

// The ring that an instance had before its present epoch. It goes on serving while the present one loads.
struct PlannedRing {
  Epoch epoch;
  std::vector<PlannedStage> stages;
  int32_t context_tokens = 0, max_sequences = 0;
  bool operator==(const PlannedRing&) const = default;
};

// A model placed on a ring. One per model; the highest epoch wins everywhere.
struct InstanceRecord {
  std::string fingerprint;
  std::string model_name;
  Epoch epoch;
  std::string strategy;              // "ring-memory-weighted", "fastest", …
  std::vector<PlannedStage> stages;  // in ring order; empty when it cannot be placed now, then `problem` says why
  int32_t context_tokens = 0;        // KV positions shared by the sequences of one stage
  int32_t max_sequences = 0;
  std::string problem;
  bool stopped = false;   // unloaded on request
  std::string objective;  // of strategy "auto": "latency", "throughput" or "ttft"; may be empty
  std::optional<PlannedRing> previous;
  ContentPin content;  // whose weights are meant
  bool operator==(const InstanceRecord&) const = default;
};

// ---- messages -------------------------------------------------------------------------------------------------

struct Ping {
  uint64_t nonce = 0;
  uint32_t padding_bytes = 0;  // of zeros that travel along, to measure bandwidth
  bool operator==(const Ping&) const = default;
};
struct Pong {
  uint64_t nonce = 0;
  bool operator==(const Pong&) const = default;
};

// Facts newer than what the receiver is known to have.
struct Gossip {
  std::vector<NodeFacts> nodes;
  std::vector<InstanceRecord> instances;
  bool operator==(const Gossip&) const = default;
};

// What the sender has, by version: the receiver answers with what it knows newer, and with its own digest when the
// sender is ahead. Sent now and then to a neighbour, it repairs whatever gossip missed.
struct NodeVersion {
  NodeId id;
  uint64_t incarnation = 0, sequence = 0;
  bool operator==(const NodeVersion&) const = default;
};
struct InstanceVersion {
  std::string fingerprint;
  Epoch epoch;
  bool operator==(const InstanceVersion&) const = default;
};
struct GossipDigest {
  std::vector<NodeVersion> nodes;
  std::vector<InstanceVersion> instances;
  bool operator==(const GossipDigest&) const = default;
};

// The sender leaves in an orderly way.
struct Goodbye {
  std::string reason;
  bool operator==(const Goodbye&) const = default;
};

// Asks the receiver to leave in an orderly way, as if it had been stopped there.
struct LeaveRequest {
  std::string reason;
  bool operator==(const LeaveRequest&) const = default;
};

// Front → first stage. `tokens`: prompt and, on a resumed request, what was generated before.
struct SubmitRequest {
  RequestId request;
  std::string fingerprint;
  Epoch epoch;
  std::vector<TokenId> tokens;
  int32_t prompt_tokens = 0;   // how many of them came from the client
  int32_t max_new_tokens = 0;  // still to be generated
  std::vector<TokenId> stop_tokens;
  SamplerSettings sampler;
  bool operator==(const SubmitRequest&) const = default;
};

struct CancelRequest {
  RequestId request;
  bool operator==(const CancelRequest&) const = default;
};

enum class FinishReason : uint8_t { kNone, kStop, kLength, kCancelled, kError };

// First stage → front. `index` is the place of tokens[0] in the whole sequence (prompt included).
struct RequestUpdate {
  RequestId request;
  Epoch epoch;
  int32_t index = 0;
  std::vector<SampledToken> tokens;
  FinishReason finish = FinishReason::kNone;
  int32_t queue_position = 0;                   // > 0: waiting for a slot
  int32_t prefilled_tokens = 0;                 // of `tokens` of the request, so far
  int32_t cached_tokens = 0;                    // of those, taken from the prefix cache
  ErrorCode error_code = ErrorCode::kInternal;  // when finish is kError
  std::string error;
  bool operator==(const RequestUpdate&) const = default;
};

// What the last stage needs to sample for a slot: sent with the slot's first step that wants logits.
struct SlotOpening {
  SamplerSettings sampler;
  std::vector<TokenId> history;  // tokens so far; empty unless the sampler needs them
  int32_t prompt_tokens = 0;
  bool operator==(const SlotOpening&) const = default;
};

struct StepSequence {
  SlotId slot;
  Position first;
  int32_t n_tokens = 0;
  bool wants_logits = false;
  // The slot's block table from entry `first_block` on is `blocks`; entries before it are as earlier steps left
  // them.
  int32_t first_block = 0;
  std::vector<BlockId> blocks;
  std::optional<SlotOpening> opening;
  // Speculative decoding: the last of the n_tokens are guesses, and these are they. The last stage samples at the
  // row before the first guess and goes on as long as it samples what was guessed.
  // If all of them are guesses, the part was sent ahead of the answer to the slot's step before: its first token is
  // a guess of the last one sampled there. If that was sampled, and for this position, sampling goes on from the
  // first row; otherwise the part is void, and nothing is sampled for it.
  std::vector<TokenId> draft;
  bool is_ahead() const { return n_tokens > 0 && draft.size() == static_cast<size_t>(n_tokens); }
  RequestId request;  // whose sequence it is, for logs and traces
  bool operator==(const StepSequence&) const = default;
};

// One micro-batch on its way around the ring: tokens into the first stage, f32 activations [n_rows, d_model]
// between.
// How long the stages that a step has passed took to compute it, without waiting; 0: not known.
struct ComputeTime {
  uint32_t slowest_us = 0, all_us = 0;  // the slowest of them; all together
  // Of one more stage; at least a microsecond, and what does not fit is the largest number.
  void add(std::chrono::nanoseconds time);
  bool operator==(const ComputeTime&) const = default;
};

struct Step {
  std::string fingerprint;
  Epoch epoch;
  MicroBatchId micro_batch;
  std::vector<StepSequence> sequences;
  std::vector<SlotId> closed_slots;  // free before this step is computed
  std::vector<TokenId> tokens;
  std::vector<float> activations;
  ComputeTime computed;
  bool operator==(const Step&) const = default;
};

// Last stage → first stage. counts: of `tokens` for each sequence that wanted logits, in order; one, and one more
// for each guess that was right; 0 for a part that was sent ahead and is void.
struct StepResult {
  std::string fingerprint;
  Epoch epoch;
  MicroBatchId micro_batch;
  std::vector<SampledToken> tokens;
  std::vector<int32_t> counts;
  ComputeTime computed;
  bool operator==(const StepResult&) const = default;
};

// Any stage → first stage.
struct StepFailed {
  std::string fingerprint;
  Epoch epoch;
  MicroBatchId micro_batch;
  ErrorCode error_code = ErrorCode::kInternal;
  std::string error;
  bool operator==(const StepFailed&) const = default;
};

// ---- what a request did: asked for by people, answered from bounded memory --------------------------------------

// `request` 0: only the clock and, with `list`, the requests that the receiver's front has.
struct TraceQuery {
  uint64_t nonce = 0;
  RequestId request;
  bool list = false;
  bool operator==(const TraceQuery&) const = default;
};

enum class TraceEventKind : uint8_t {
  kReceived,    // front: value: tokens of the prompt
  kSubmitted,   // front → node: value: tokens so far
  kQueued,      // scheduler: value: place in the queue
  kAdmitted,    // scheduler: got a slot; value: tokens from the prefix cache
  kRequeued,    // scheduler: preempted, or its steps were lost
  kDetached,    // front: the ring is gone
  kFirstToken,  // front
  kFinished     // front: value: tokens of the answer
};

// Times of a trace are nanoseconds of the node's own monotonic clock.
struct TraceEvent {
  TraceEventKind kind = TraceEventKind::kReceived;
  int64_t at_ns = 0, value = 0;
  Epoch epoch;
  NodeId node;  // the other one
  bool operator==(const TraceEvent&) const = default;
};

// One micro-batch at one stage.
struct StepTrace {
  Epoch epoch;
  MicroBatchId micro_batch;
  int32_t stage = 0;  // -1: the whole trip as the scheduler saw it, from launch (arrived) to answer (sent)
  int32_t rows = 0, sequences = 0;
  int64_t arrived_ns = 0, began_ns = 0, computed_ns = 0, sent_ns = 0;
  uint64_t sent_bytes = 0;  // activations
  bool failed = false;
  bool operator==(const StepTrace&) const = default;
};

enum class RequestPhase : uint8_t { kPlacing, kLoading, kQueued, kPrefilling, kDecoding, kResuming };

struct RunningRequest {
  RequestId request;
  std::string fingerprint;
  RequestPhase phase = RequestPhase::kPlacing;
  int32_t queue_position = 0;
  int32_t prompt_tokens = 0, prefilled_tokens = 0, completion_tokens = 0, resumed = 0;
  double age_s = 0, tokens_per_s = 0;
  bool operator==(const RunningRequest&) const = default;
};

struct TraceReply {
  uint64_t nonce = 0;
  int64_t now_ns = 0;  // the sender's clock
  std::vector<TraceEvent> events;
  std::vector<StepTrace> steps;
  std::vector<RunningRequest> requests;
  bool operator==(const TraceReply&) const = default;
};

// ---- KV caches, carried over from a ring to its successor (serve/cache_import.h) --------------------------------
// In all of them `epoch` is the new ring's; the other one is that which its record names as `previous`.

// First stage of the new ring → first stage of the previous one.
struct CacheQuery {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;  // of this import, in all that the two say about it
  int32_t most_blocks = 0, block_positions = 0;
  bool operator==(const CacheQuery&) const = default;
};

// What the previous ring has cached, in one or several parts. Until they are released the blocks do not change.
struct CacheOffer {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;
  std::vector<BlockId> blocks;
  // Of each of them: the place in the whole offer of the block that comes before it in its text, always an earlier
  // one; -1: it begins a text.
  std::vector<int32_t> parents;
  std::vector<TokenId> tokens;  // block_positions of each
  bool last = false;            // the offer is complete
  bool operator==(const CacheOffer&) const = default;
};

// The first `count` blocks of the offer have been read; `done`: and no more will be.
struct CacheRelease {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;
  int32_t count = 0;
  bool done = false;
  bool operator==(const CacheRelease&) const = default;
};

// Answer: whether the blocks had not changed until then.
struct CacheReleased {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;
  int32_t count = 0;
  bool held = false;
  bool operator==(const CacheReleased&) const = default;
};

// First stage → every stage of the new ring: fill the blocks `to` from the previous ring's blocks `from`.
struct CacheFill {
  std::string fingerprint;
  Epoch epoch;
  uint64_t batch = 0;
  MicroBatchId next_step;  // those before it may still use the blocks; one from here on takes them for itself
  std::vector<BlockId> from, to;
  bool operator==(const CacheFill&) const = default;
};

struct CacheFilled {
  std::string fingerprint;
  Epoch epoch;
  uint64_t batch = 0;
  uint64_t bytes = 0;  // of the stage's layers
  std::string error;   // empty: all blocks are filled
  bool operator==(const CacheFilled&) const = default;
};

// Stage of the new ring → the device that had these layers in the previous one.
struct CacheRead {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;
  LayerRange layers;
  std::vector<BlockId> blocks;
  std::string type;  // of the cache's numbers: "F16"
  int32_t block_positions = 0;
  bool operator==(const CacheRead&) const = default;
};

// Answer. bytes: layer by layer; of each the blocks in order; of a block its keys, then its values, each
// [kv heads, positions, width] as the type stores them (ring/stage_executor.h).
struct CachePiece {
  std::string fingerprint;
  Epoch epoch;
  uint64_t nonce = 0;
  std::vector<std::byte> bytes;
  std::string error;  // empty: these are the bytes
  bool operator==(const CachePiece&) const = default;
};

using Message =
    std::variant<Ping, Pong, Gossip, Goodbye, SubmitRequest, CancelRequest, RequestUpdate, Step, StepResult,
                 StepFailed, GossipDigest, LeaveRequest, TraceQuery, TraceReply, CacheQuery, CacheOffer,
                 CacheRelease, CacheReleased, CacheFill, CacheFilled, CacheRead, CachePiece>;

}  // namespace exo::wire
