#pragma once
// What the rogue peer says: messages of every kind with fields at the edges of what the codec lets through, made of
// things heard from the node and of things that do not exist, and frames with damage.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "rogue_model.h"
#include "wire/codec.h"
#include "wire/limits.h"

namespace exo::rogue {

constexpr size_t kMostKept = 64;  // of each kind of thing heard

// What was heard from the node, to be said back at the wrong time.
struct Heard {
  std::vector<wire::NodeFacts> nodes;
  std::vector<wire::InstanceRecord> instances;
  std::vector<RequestId> requests;
  std::string software_version = "0.1.0";

  void take(const wire::Message& message) {
    if (const auto* gossip = std::get_if<wire::Gossip>(&message)) {
      for (const auto& node : gossip->nodes) keep(nodes, node);
      for (const auto& instance : gossip->instances) keep(instances, instance);
    } else if (const auto* update = std::get_if<wire::RequestUpdate>(&message)) {
      keep(requests, update->request);
    } else if (const auto* reply = std::get_if<wire::TraceReply>(&message)) {
      for (const auto& running : reply->requests) keep(requests, running.request);
    }
  }
  template <typename T>
  static void keep(std::vector<T>& list, const T& value) {
    if (list.size() < kMostKept) {
      list.push_back(value);
    } else {
      list[list.size() - 1] = value;
    }
  }
};

class Inventor : public Dice {
 public:
  Inventor(uint64_t seed, const Heard& heard) : Dice(seed), heard_(heard) {}

  std::vector<std::byte> frame() {
    const wire::Message message = this->message();
    auto encoded = wire::encode(message);
    std::vector<std::byte> bytes = encoded ? std::move(*encoded) : noise(below(4000));
    if (once_in(3)) mutate(bytes);
    return bytes;
  }

  std::string fingerprint() {
    if (!heard_.instances.empty() && !once_in(4)) return pick(heard_.instances).fingerprint;
    return once_in(2) ? std::string(64, static_cast<char>('a' + below(6))) : text(80);
  }
  uint64_t wide() {
    constexpr uint64_t kEdges[] = {0, 1, 2, 31, 1ull << 20, 1ull << 31, (1ull << 32) - 1, 1ull << 62, UINT64_MAX};
    return once_in(3) ? random_() : kEdges[below(std::size(kEdges))];
  }

 private:
  int32_t count() {
    constexpr int32_t kEdges[] = {0, 1, 2, 3, 31, 32, 33, 511, 512, 65536, INT32_MAX - 1, INT32_MAX};
    return once_in(3) ? static_cast<int32_t>(random_() >> 33) : kEdges[below(once_in(2) ? 7 : std::size(kEdges))];
  }
  double rate() {
    constexpr double kEdges[] = {0, 1e-300, 1e-9, 1, 1e9, 1e18, 1e300};
    return kEdges[below(std::size(kEdges))];
  }
  // Of models that only the rogue peer speaks of: offers, records and stages of them meet.
  std::string invented() { return std::string(64, static_cast<char>('0' + below(4))); }
  void mutate(std::vector<std::byte>& bytes) {
    for (uint64_t n = 1 + below(8); n > 0 && !bytes.empty(); --n) {
      const size_t at = below(bytes.size());
      switch (below(4)) {
        case 0:
          bytes[at] = static_cast<std::byte>(random_());
          break;
        case 1:
          bytes[at] ^= static_cast<std::byte>(1u << below(8));
          break;
        case 2:
          for (size_t i = at; i < std::min(at + 4, bytes.size()); ++i) bytes[i] = std::byte{0xFF};
          break;
        default:
          bytes.resize(once_in(2) ? at : bytes.size() + below(64));
      }
    }
  }

  NodeId node() {
    if (!heard_.nodes.empty() && !once_in(3)) return pick(heard_.nodes).id;
    NodeId id;
    for (auto& byte : id.bytes) byte = static_cast<uint8_t>(random_());
    return id;
  }
  RequestId request() {
    if (!heard_.requests.empty() && !once_in(3)) return pick(heard_.requests);
    return {wide(), wide()};
  }
  Epoch epoch() {
    if (!heard_.instances.empty() && !once_in(4)) return pick(heard_.instances).epoch;
    return {wide(), node()};
  }
  LayerRange layers() {
    const auto begin = static_cast<int32_t>(below(wire::kMaxLayers));
    return {LayerIndex(begin), LayerIndex(begin + static_cast<int32_t>(below(wire::kMaxLayers - begin)))};
  }
  std::vector<TokenId> tokens(size_t most) {
    std::vector<TokenId> out(below(most));
    for (auto& token : out)
      token = TokenId(once_in(3) ? static_cast<int32_t>(random_()) : static_cast<int32_t>(below(500)));
    return out;
  }
  SamplerSettings sampler() {
    SamplerSettings s;
    s.temperature = static_cast<float>(rate());
    s.top_k = static_cast<int32_t>(random_());
    s.top_p = static_cast<float>(below(3)) - 1;
    s.min_p = static_cast<float>(below(3)) - 1;
    s.repetition_penalty = static_cast<float>(below(3)) - 1;
    s.penalty_window = static_cast<int32_t>(random_());
    s.seed = random_();
    s.top_log_probabilities = static_cast<int32_t>(random_());
    for (uint64_t n = below(4); n > 0; --n)
      s.logit_bias.emplace_back(TokenId(static_cast<int32_t>(random_())), 1e30f);
    return s;
  }
  std::vector<SampledToken> sampled() {
    std::vector<SampledToken> out;
    for (const TokenId token : tokens(5)) out.push_back({token, -1.f, {{token, -1.f}}});
    return out;
  }

  wire::ModelFacts model() {
    wire::ModelFacts facts;
    if (!heard_.nodes.empty() && once_in(2)) {
      const auto& known = pick(heard_.nodes).models;
      if (!known.empty()) facts = pick(known).facts;
    }
    if (once_in(2)) facts.name = text(40);
    if (once_in(2)) facts.fingerprint = once_in(2) ? invented() : text(65);
    facts.n_layers = count();
    facts.d_model = count();
    facts.n_vocab = count();
    facts.context_length = count();
    facts.file_bytes = wide();
    facts.layer_bytes.assign(below(8), wide());
    facts.kv_bytes_per_position.assign(below(8), wide());
    facts.expert_bytes.assign(below(8), wide());
    facts.state_bytes.assign(below(8), wide());
    facts.embedding_bytes = wide();
    facts.head_bytes = wide();
    facts.n_experts = count();
    facts.n_experts_used = count();
    facts.attention_width = count();
    facts.tensor_parallel_parts = count();
    if (once_in(2)) make_consistent(facts);
    return facts;
  }
  // Sizes that placement computes with.
  void make_consistent(wire::ModelFacts& facts) {
    facts.n_layers = static_cast<int32_t>(once_in(10) ? wire::kMaxLayers : 1 + below(60));
    const auto n = static_cast<size_t>(facts.n_layers);
    facts.layer_bytes.assign(n, once_in(2) ? below(1 << 20) : wide() >> 14);
    facts.kv_bytes_per_position.assign(n, below(1 << 26));
    facts.state_bytes.assign(once_in(2) ? n : 0, below(uint64_t{1} << 34));
    facts.expert_bytes.assign(once_in(2) ? n : 0, facts.layer_bytes[0]);
    facts.n_experts = static_cast<int32_t>(below(300));
    facts.n_experts_used = static_cast<int32_t>(below(static_cast<uint64_t>(facts.n_experts) + 1));
    facts.tensor_parallel_parts = static_cast<int32_t>(below(1025));
  }
  // An invented model has an invented fingerprint: what a member may place is not what is tried here.
  wire::NodeFacts node_facts() {
    wire::NodeFacts facts;
    facts.id = node();
    facts.incarnation = wide();
    facts.sequence = wide();
    facts.name = text(100);
    facts.software_version = text(30);
    facts.peer_port = static_cast<uint16_t>(random_());
    for (uint64_t n = below(3); n > 0; --n) facts.addresses.push_back(once_in(2) ? "127.0.0.1" : text(60));
    facts.device.memory_total_bytes = facts.device.memory_budget_bytes = wide();
    facts.device.memory_bandwidth_bytes_per_s = rate();
    facts.device.f32_flops_per_s = rate();
    facts.device.disk_bytes_per_s = rate();
    facts.device.threads = count();
    facts.device.int8_ops_per_s = rate();
    facts.device.step_overhead_s = rate();
    facts.device.decode_correction = rate();
    facts.device.prefill_correction = rate();
    for (uint64_t n = below(3); n > 0; --n)
      facts.device.format_rates.push_back({once_in(2) ? "Q4_0" : text(20), rate(), rate()});
    facts.api_port = static_cast<uint16_t>(random_());
    facts.tokens_per_s = rate();
    if (once_in(4)) facts.withdrawal = text(60);
    for (uint64_t n = below(3); n > 0; --n) facts.stage_times.push_back({fingerprint(), layers(), rate(), rate()});
    for (uint64_t n = below(3); n > 0; --n) {
      facts.models.push_back({model(), once_in(2), once_in(2) ? fingerprint() : text(64)});
      for (const auto& instance : heard_.instances)
        if (facts.models.back().facts.fingerprint == instance.fingerprint)
          facts.models.back().facts.fingerprint += "x";
    }
    for (uint64_t n = below(3); n > 0; --n)
      facts.stages.push_back(
          {fingerprint(), epoch(), layers(), static_cast<wire::StageState>(below(3)), wide(), wide(), text(50)});
    for (uint64_t n = below(4); n > 0; --n)
      facts.links.push_back({node(), text(10), static_cast<uint32_t>(random_()), rate()});
    facts.leaving = once_in(4);
    return facts;
  }
  std::vector<wire::PlannedStage> stages() {
    std::vector<wire::PlannedStage> out;
    for (uint64_t n = below(5); n > 0; --n) {
      wire::PlannedStage stage{node(), layers(), wide(), {}};
      for (uint64_t m = below(4); m > 0 && once_in(2); --m)
        stage.members.push_back({node(), wide(), static_cast<uint32_t>(wide())});
      out.push_back(std::move(stage));
    }
    return out;
  }
  // Of models that nobody has, or an epoch that is over.
  wire::InstanceRecord instance() {
    wire::InstanceRecord record;
    record.fingerprint = once_in(2) ? invented() : once_in(2) ? text(64) : std::string(64, 'f');
    record.epoch = {wide(), node()};
    if (!heard_.instances.empty() && once_in(2)) {
      record = pick(heard_.instances);
      record.epoch.counter = record.epoch.counter == 0 ? 0 : below(record.epoch.counter);
    }
    record.model_name = text(40);
    record.strategy = text(20);
    record.stages.clear();
    if (!once_in(3)) record.stages = stages();
    record.context_tokens = std::min(count(), wire::kMaxContextTokens);
    record.max_sequences = std::min(count(), wire::kMaxInstanceSequences);
    if (once_in(3)) record.previous = wire::PlannedRing{epoch(), stages(), 256, 2};
    if (once_in(4)) record.problem = text(200);
    record.stopped = once_in(4);
    record.objective = text(10);
    if (once_in(2)) record.content = {node(), once_in(2) ? fingerprint() : text(64)};
    return record;
  }

  wire::Step step() {
    wire::Step step{.fingerprint = fingerprint(), .epoch = epoch(), .micro_batch = MicroBatchId(wide())};
    for (uint64_t n = below(4); n > 0; --n) {
      wire::StepSequence s{.slot = SlotId(count()), .first = Position(count()), .n_tokens = count()};
      s.wants_logits = once_in(2);
      s.first_block = count();
      for (uint64_t k = below(5); k > 0; --k) s.blocks.emplace_back(static_cast<uint32_t>(wide()));
      if (once_in(2)) s.opening = wire::SlotOpening{sampler(), tokens(20), count()};
      s.draft = tokens(5);
      if (once_in(3)) s.n_tokens = static_cast<int32_t>(s.draft.size());
      s.request = request();
      step.sequences.push_back(std::move(s));
    }
    for (uint64_t n = below(4); n > 0; --n) step.closed_slots.emplace_back(count());
    step.tokens = tokens(40);
    step.activations.assign(below(once_in(20) ? 1 << 20 : 1000), once_in(3) ? std::nanf("") : 1e30f);
    return step;
  }

  std::vector<BlockId> blocks() {
    std::vector<BlockId> out(below(once_in(10) ? wire::kMaxOfferPartBlocks : 6));
    for (auto& block : out) block = BlockId(static_cast<uint32_t>(once_in(3) ? wide() : below(8)));
    return out;
  }
  // What only rings and their successors tell each other.
  wire::Message about_caches() {
    const auto model = fingerprint();
    const auto at = epoch();
    switch (below(8)) {
      case 0:
        return wire::CacheQuery{model, at, below(100), count(), once_in(2) ? 32 : count()};
      case 1: {
        wire::CacheOffer offer{model, at, below(100), blocks(), {}, {}, once_in(2)};
        for (size_t i = 0; i < offer.blocks.size(); ++i)
          offer.parents.push_back(once_in(3) ? static_cast<int32_t>(wide()) : static_cast<int32_t>(i) - 1);
        if (!once_in(3)) offer.tokens.resize(std::min<size_t>(offer.blocks.size() * 32, wire::kMaxOfferPartTokens));
        return offer;
      }
      case 2:
        return wire::CacheRelease{model, at, below(100), count(), once_in(2)};
      case 3:
        return wire::CacheReleased{model, at, below(100), count(), once_in(2)};
      case 4: {
        auto from = blocks();
        auto to = once_in(2) ? from : blocks();
        return wire::CacheFill{model, at, wide(), MicroBatchId(wide()), std::move(from), std::move(to)};
      }
      case 5:
        return wire::CacheFilled{model, at, once_in(2) ? (1ull << 32) + below(4) : wide(), wide(),
                                 once_in(2) ? std::string() : text(60)};
      case 6:
        return wire::CacheRead{model,
                               at,
                               below(100),
                               once_in(2) ? layers() : LayerRange{{}, LayerIndex(1)},
                               blocks(),
                               once_in(4) ? text(9) : "F16",
                               once_in(4) ? count() : 32};
      default: {
        wire::CachePiece piece{model, at, below(100), {}, once_in(2) ? std::string() : text(60)};
        piece.bytes.resize(below(once_in(20) ? wire::kMaxCachePieceBytes : 5000));
        return piece;
      }
    }
  }

  wire::TraceReply trace_reply() {
    wire::TraceReply reply{.nonce = below(1000), .now_ns = static_cast<int64_t>(wide())};
    wire::TraceEvent event;
    event.kind = static_cast<wire::TraceEventKind>(below(8));
    event.at_ns = static_cast<int64_t>(wide());
    reply.events.assign(below(20), event);
    wire::StepTrace step{.epoch = epoch(), .stage = static_cast<int32_t>(below(wire::kMaxStages)) - 1};
    step.computed_ns = static_cast<int64_t>(wide());
    reply.steps.assign(below(20), step);
    wire::RunningRequest running{.request = request(), .fingerprint = fingerprint()};
    running.phase = static_cast<wire::RequestPhase>(below(6));
    running.age_s = rate();
    reply.requests.assign(below(20), running);
    return reply;
  }

 public:
  // What the codec lets through.
  wire::Message message() {
    switch (below(17)) {
      case 0:
        return wire::Ping{wide(), once_in(10) ? static_cast<uint32_t>(below(wire::kMaxPingBytes)) : 0};
      case 1:
        return wire::Pong{below(1000)};
      case 2: {
        wire::Gossip gossip;
        for (uint64_t n = below(4); n > 0; --n) gossip.nodes.push_back(node_facts());
        for (uint64_t n = below(4); n > 0; --n) gossip.instances.push_back(instance());
        return gossip;
      }
      case 3: {
        wire::GossipDigest digest;
        for (uint64_t n = below(30); n > 0; --n) digest.nodes.push_back({node(), wide(), wide()});
        for (uint64_t n = below(30); n > 0; --n) digest.instances.push_back({fingerprint(), epoch()});
        return digest;
      }
      case 4:
      case 5: {
        wire::SubmitRequest submit{.request = request(), .fingerprint = fingerprint(), .epoch = epoch()};
        submit.tokens = tokens(once_in(10) ? 5000 : 30);
        submit.prompt_tokens = once_in(2) ? static_cast<int32_t>(submit.tokens.size()) : count();
        submit.max_new_tokens = once_in(2) ? static_cast<int32_t>(1 + below(6)) : count();
        submit.stop_tokens = tokens(4);
        submit.sampler = sampler();
        if (once_in(2))
          for (auto& token : submit.tokens) token = TokenId(std::abs(token.value % 200));
        return submit;
      }
      case 6:
        return wire::CancelRequest{request()};
      case 7: {
        wire::RequestUpdate update{.request = request(), .epoch = epoch(), .index = count(), .tokens = sampled()};
        update.finish = static_cast<wire::FinishReason>(below(5));
        update.queue_position = count();
        update.error = text(100);
        return update;
      }
      case 8:
      case 9:
        return step();
      case 10:
        return wire::StepResult{fingerprint(), epoch(), MicroBatchId(wide()), sampled(),
                                std::vector<int32_t>(below(4), static_cast<int32_t>(random_()))};
      case 11:
        return wire::StepFailed{fingerprint(), epoch(), MicroBatchId(wide()), static_cast<ErrorCode>(below(3)),
                                text(99)};
      case 12:
        return wire::TraceQuery{wide(), request(), once_in(2)};
      case 15:
      case 16:
        return about_caches();
      case 13:
        if (once_in(30)) return wire::Goodbye{text(100)};
        [[fallthrough]];
      default:
        return trace_reply();
    }
  }

 private:
  const Heard& heard_;
};

}  // namespace exo::rogue
