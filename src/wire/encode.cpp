// Message → frame. Every list and text goes through admit(), which is the mirror of what decode.cpp refuses.

#include <bit>
#include <cmath>
#include <cstring>

#include "wire/codec.h"
#include "wire/envelope_generated.h"
#include "wire/limits.h"

namespace exo::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "activations are sent as they lie in memory");

template <typename T>
using Offset = flatbuffers::Offset<T>;
using flatbuffers::String;

class Writer {
 public:
  Result<std::vector<std::byte>> frame(const Message& message) {
    std::span<const std::byte> tensor;
    if (const auto* step = std::get_if<Step>(&message)) tensor = std::as_bytes(std::span(step->activations));
    if (tensor.size_bytes() > kMaxTensorBytes) error_ = "activations";
    if (const auto* piece = std::get_if<CachePiece>(&message)) {
      tensor = piece->bytes;
      if (tensor.size_bytes() > kMaxCachePieceBytes) error_ = "piece.bytes";
    }
    const auto body = std::visit([this](const auto& m) { return body_of(m); }, message);
    fb::EnvelopeBuilder envelope(builder_);
    envelope.add_tensor_bytes(tensor.size_bytes());
    envelope.add_body(body.second);
    envelope.add_body_type(body.first);
    fb::FinishSizePrefixedEnvelopeBuffer(builder_, envelope.Finish());
    if (error_.empty() && builder_.GetSize() > 4 + kMaxEnvelopeBytes) error_ = "envelope";
    if (!error_.empty()) return fail(ErrorCode::kInvalidArgument, "message not sent: {} over its limit", error_);

    std::vector<std::byte> bytes(builder_.GetSize() + tensor.size_bytes());
    std::memcpy(bytes.data(), builder_.GetBufferPointer(), builder_.GetSize());
    if (!tensor.empty()) std::memcpy(bytes.data() + builder_.GetSize(), tensor.data(), tensor.size_bytes());
    return bytes;
  }

 private:
  using Body = std::pair<fb::Body, Offset<void>>;

  bool admit(size_t n, size_t element_bytes, size_t limit, const char* what) {
    charged_ += n * element_bytes;
    if (n <= limit && charged_ <= kMaxDecodedBytes) return error_.empty();
    error_ = what;
    return false;
  }
  int32_t count(int32_t value, const char* what) {
    if (value < 0) error_ = what;
    return value;
  }
  int32_t at_most(int32_t most, int32_t value, const char* what) {
    if (value > most) error_ = what;
    return count(value, what);
  }
  double rate(double value, const char* what) {
    if (!(value >= 0) || std::isinf(value)) error_ = what;
    return value;
  }
  float finite(float value, const char* what) {
    if (!std::isfinite(value)) error_ = what;
    return value;
  }

  Offset<String> text(const std::string& value, size_t limit, const char* what) {
    if (value.empty() || !admit(value.size(), 1, limit, what)) return 0;
    return builder_.CreateString(value);
  }
  Offset<String> name(const std::string& value, const char* what) { return text(value, kMaxNameBytes, what); }

  template <typename T>
  auto numbers(const std::vector<T>& values, size_t limit, const char* what) {
    using Raw = decltype(raw(T{}));
    if (values.empty() || !admit(values.size(), sizeof(T), limit, what)) {
      return Offset<flatbuffers::Vector<Raw>>(0);
    }
    static_assert(sizeof(T) == sizeof(Raw));
    Raw* out = nullptr;
    const auto offset = builder_.CreateUninitializedVector<Raw>(values.size(), &out);
    std::memcpy(out, values.data(), values.size() * sizeof(T));
    return Offset<flatbuffers::Vector<Raw>>(offset);
  }
  static uint64_t raw(uint64_t);
  static int32_t raw(int32_t);
  template <typename Tag, typename Integer>
  static Integer raw(StrongInt<Tag, Integer>);

  template <typename T, typename Make>
  auto tables(const std::vector<T>& values, size_t limit, const char* what, Make make) {
    using Table = decltype(make(values[0]));
    std::vector<Table> offsets;
    if (values.empty() || !admit(values.size(), sizeof(T), limit, what)) {
      return Offset<flatbuffers::Vector<Table>>(0);
    }
    tables_ += 3 * values.size();  // with what hangs on one of them: an opening and its sampler
    if (tables_ > kMaxTables - 16) error_ = what;
    offsets.reserve(values.size());
    for (const T& value : values) offsets.push_back(make(value));
    return builder_.CreateVector(offsets);
  }

  auto weights(const std::vector<std::pair<TokenId, float>>& values, size_t limit, const char* what) {
    std::vector<fb::TokenWeight> pairs;
    if (values.empty() || !admit(values.size(), sizeof values[0], limit, what)) {
      return Offset<flatbuffers::Vector<const fb::TokenWeight*>>(0);
    }
    for (const auto& [token, weight] : values) pairs.emplace_back(token.value, weight);
    return builder_.CreateVectorOfStructs(pairs);
  }

  static fb::Id id(const NodeId& node) { return fb::Id(flatbuffers::span<const uint8_t, 32>(node.bytes)); }
  static fb::EpochId epoch(const Epoch& e) { return fb::EpochId(e.counter, id(e.proposer)); }
  static fb::Request request(const RequestId& r) { return fb::Request(r.high, r.low); }
  fb::Layers layers(const LayerRange& range) {
    const bool sane =
        range.begin.value >= 0 && range.begin <= range.end && range.end.value <= static_cast<int32_t>(kMaxLayers);
    if (!sane) error_ = "layer range";
    return fb::Layers(range.begin.value, range.end.value);
  }

  // ---- facts
  Offset<fb::FormatRate> make(const FormatRate& r) {
    const auto type = name(r.weight_type, "rate.weight_type");
    return fb::CreateFormatRate(builder_, type, rate(r.stream_bytes_per_s, "rate.stream_bytes"),
                                rate(r.ops_per_s, "rate.ops"), rate(r.few_rows_ops_per_s, "rate.few_rows_ops"));
  }
  Offset<fb::DeviceProfile> make(const DeviceProfile& d) {
    const auto os = name(d.os, "device.os"), arch = name(d.arch, "device.arch");
    const auto processor = name(d.processor, "device.processor");
    const auto rates = tables(d.format_rates, kMaxFormatRates, "device.format_rates",
                              [this](const FormatRate& r) { return make(r); });
    return fb::CreateDeviceProfile(
        builder_, os, arch, processor, count(d.threads, "device.threads"), d.memory_total_bytes,
        d.memory_budget_bytes, rate(d.memory_bandwidth_bytes_per_s, "device.memory_bandwidth"),
        rate(d.int8_ops_per_s, "device.int8_ops"), rate(d.f32_flops_per_s, "device.f32_flops"),
        rate(d.disk_bytes_per_s, "device.disk"), rate(d.step_overhead_s, "device.step_overhead"), rates,
        rate(d.decode_correction, "device.decode_correction"),
        rate(d.prefill_correction, "device.prefill_correction"));
  }
  Offset<fb::FormatBytes> make(const FormatBytes& f) {
    const auto type = name(f.weight_type, "format.weight_type");
    return fb::CreateFormatBytes(builder_, type, f.layer_bytes, f.expert_bytes, f.head_bytes);
  }
  Offset<fb::ModelOffer> make(const ModelOffer& offer) {
    const ModelFacts& f = offer.facts;
    const auto model_name = name(f.name, "model.name"), fingerprint = name(f.fingerprint, "model.fingerprint");
    const auto architecture = name(f.architecture, "model.architecture");
    const auto weight_type = name(f.weight_type, "model.weight_type");
    const auto layer_bytes = numbers(f.layer_bytes, kMaxLayers, "model.layer_bytes");
    const auto kv_bytes = numbers(f.kv_bytes_per_position, kMaxLayers, "model.kv_bytes_per_position");
    const auto state_bytes = numbers(f.state_bytes, kMaxLayers, "model.state_bytes");
    const auto expert_bytes = numbers(f.expert_bytes, kMaxLayers, "model.expert_bytes");
    const auto content_root = name(offer.content_root, "model.content_root");
    const auto formats =
        tables(f.formats, kMaxWeightFormats, "model.formats", [this](const FormatBytes& b) { return make(b); });
    return fb::CreateModelOffer(
        builder_, model_name, fingerprint, architecture, weight_type, count(f.n_layers, "model.n_layers"),
        count(f.d_model, "model.d_model"), count(f.n_vocab, "model.n_vocab"),
        count(f.context_length, "model.context_length"), f.file_bytes, layer_bytes, f.embedding_bytes, f.head_bytes,
        kv_bytes, offer.complete, state_bytes, expert_bytes, count(f.n_experts, "model.n_experts"),
        count(f.n_experts_used, "model.n_experts_used"), count(f.attention_width, "model.attention_width"),
        count(f.tensor_parallel_parts, "model.tensor_parallel_parts"), content_root, f.kv_whole_in_groups, formats,
        count(f.feed_forward_width, "model.feed_forward_width"), f.exchanges_norms);
  }
  Offset<fb::StageStatus> make(const StageStatus& s) {
    const auto fingerprint = name(s.fingerprint, "stage.fingerprint");
    const auto error = text(s.error, kMaxTextBytes, "stage.error");
    const auto at = epoch(s.epoch);
    const auto range = layers(s.layers);
    return fb::CreateStageStatus(builder_, fingerprint, &at, &range, static_cast<uint8_t>(s.state), s.done_bytes,
                                 s.total_bytes, error);
  }
  Offset<fb::StageTimes> make(const StageTimes& s) {
    const auto fingerprint = name(s.fingerprint, "stage_times.fingerprint");
    const auto range = layers(s.layers);
    return fb::CreateStageTimes(builder_, fingerprint, &range, rate(s.decode_ms, "stage_times.decode"),
                                rate(s.prefill_ms_per_row, "stage_times.prefill"));
  }
  Offset<fb::LinkFacts> make(const LinkFacts& l) {
    const auto interface = name(l.interface, "link.interface");
    const auto peer = id(l.peer);
    return fb::CreateLinkFacts(builder_, &peer, interface, l.round_trip_us,
                               rate(l.bandwidth_bytes_per_s, "link.bandwidth"));
  }
  Offset<fb::NodeFacts> make(const NodeFacts& n) {
    const auto self = id(n.id);
    const auto node_name = name(n.name, "node.name"), version = name(n.software_version, "node.version");
    const auto addresses = tables(n.addresses, kMaxAddresses, "node.addresses",
                                  [this](const std::string& a) { return required_name(a, "node.address"); });
    const auto device = make(n.device);
    const auto each = [this](const auto& value) { return make(value); };
    const auto models = tables(n.models, kMaxModels, "node.models", each);
    const auto stages = tables(n.stages, kMaxStages, "node.stages", each);
    const auto links = tables(n.links, kMaxLinks, "node.links", each);
    const auto times = tables(n.stage_times, kMaxStages, "node.stage_times", each);
    const auto withdrawal = text(n.withdrawal, kMaxTextBytes, "node.withdrawal");
    return fb::CreateNodeFacts(builder_, &self, n.incarnation, n.sequence, node_name, version, n.peer_port,
                               n.api_port, addresses, device, models, stages, links,
                               rate(n.tokens_per_s, "node.tokens_per_s"), n.leaving, times, withdrawal);
  }
  // In a vector an empty string must still be an object.
  Offset<String> required_name(const std::string& value, const char* what) {
    const auto offset = name(value, what);
    return offset.IsNull() ? builder_.CreateString("") : offset;
  }
  Offset<fb::StageMember> make(const StageMember& m) {
    const auto node = id(m.node);
    return fb::CreateStageMember(builder_, &node, m.incarnation, m.share);
  }
  Offset<fb::PlannedStage> make(const PlannedStage& s) {
    const auto node = id(s.node);
    const auto range = layers(s.layers);
    const auto members =
        tables(s.members, kMaxMembers, "instance.members", [this](const auto& value) { return make(value); });
    return fb::CreatePlannedStage(builder_, &node, &range, s.incarnation, members);
  }
  Offset<fb::PlannedRing> make(const PlannedRing& r) {
    const auto stages =
        tables(r.stages, kMaxStages, "ring.stages", [this](const auto& value) { return make(value); });
    const auto at = epoch(r.epoch);
    return fb::CreatePlannedRing(builder_, &at, stages,
                                 at_most(kMaxContextTokens, r.context_tokens, "ring.context_tokens"),
                                 at_most(kMaxInstanceSequences, r.max_sequences, "ring.max_sequences"));
  }
  Offset<fb::ContentPin> make(const ContentPin& pin) {
    const auto root = name(pin.root, "content.root");
    const auto origin = id(pin.origin);
    return fb::CreateContentPin(builder_, &origin, root);
  }
  Offset<fb::InstanceRecord> make(const InstanceRecord& r) {
    const auto fingerprint = name(r.fingerprint, "instance.fingerprint");
    const auto model = name(r.model_name, "instance.model_name"), strategy = name(r.strategy, "instance.strategy");
    const auto stages =
        tables(r.stages, kMaxStages, "instance.stages", [this](const auto& value) { return make(value); });
    const auto problem = text(r.problem, kMaxTextBytes, "instance.problem");
    const auto objective = name(r.objective, "instance.objective");
    const auto at = epoch(r.epoch);
    const auto previous = r.previous ? make(*r.previous) : Offset<fb::PlannedRing>();
    const auto content = make(r.content);
    return fb::CreateInstanceRecord(builder_, fingerprint, model, &at, strategy, stages,
                                    at_most(kMaxContextTokens, r.context_tokens, "instance.context_tokens"),
                                    at_most(kMaxInstanceSequences, r.max_sequences, "instance.max_sequences"),
                                    problem, r.stopped, objective, previous, content);
  }
  Offset<fb::NodeVersion> make(const NodeVersion& v) {
    const auto node = id(v.id);
    return fb::CreateNodeVersion(builder_, &node, v.incarnation, v.sequence);
  }
  Offset<fb::InstanceVersion> make(const InstanceVersion& v) {
    const auto fingerprint = name(v.fingerprint, "instance.fingerprint");
    const auto at = epoch(v.epoch);
    return fb::CreateInstanceVersion(builder_, fingerprint, &at);
  }

  // ---- requests and steps
  Offset<fb::Sampler> make(const SamplerSettings& s) {
    for (const auto& bias : s.logit_bias) finite(bias.second, "sampler.logit_bias");
    const auto bias = weights(s.logit_bias, kMaxLogitBias, "sampler.logit_bias");
    return fb::CreateSampler(builder_, finite(s.temperature, "sampler.temperature"), s.top_k,
                             finite(s.top_p, "sampler.top_p"), finite(s.min_p, "sampler.min_p"),
                             finite(s.repetition_penalty, "sampler.repetition_penalty"),
                             finite(s.presence_penalty, "sampler.presence_penalty"),
                             finite(s.frequency_penalty, "sampler.frequency_penalty"), s.penalty_window, bias,
                             s.seed, s.top_log_probabilities);
  }
  Offset<fb::SampledToken> make(const SampledToken& t) {
    const auto alternatives = weights(t.alternatives, kMaxAlternatives, "token.alternatives");
    return fb::CreateSampledToken(builder_, t.token.value, t.log_probability, alternatives);
  }
  auto sampled(const std::vector<SampledToken>& tokens) {
    return tables(tokens, kMaxStepTokens, "tokens", [this](const auto& value) { return make(value); });
  }
  Offset<fb::StepSequence> make(const StepSequence& s) {
    const auto blocks = numbers(s.blocks, kMaxBlocks, "sequence.blocks");
    const auto draft = numbers(s.draft, kMaxDraftTokens, "sequence.draft");
    Offset<fb::SlotOpening> opening = 0;
    if (s.opening) {
      const auto sampler = make(s.opening->sampler);
      const auto history = numbers(s.opening->history, kMaxRequestTokens, "opening.history");
      opening = fb::CreateSlotOpening(builder_, sampler, history,
                                      count(s.opening->prompt_tokens, "opening.prompt_tokens"));
    }
    const auto of = request(s.request);
    return fb::CreateStepSequence(builder_, count(s.slot.value, "sequence.slot"),
                                  count(s.first.value, "sequence.first"), count(s.n_tokens, "sequence.n_tokens"),
                                  s.wants_logits, count(s.first_block, "sequence.first_block"), blocks, opening,
                                  draft, &of);
  }

  // ---- traces
  Offset<fb::TraceEvent> make(const TraceEvent& e) {
    const auto at = epoch(e.epoch);
    const auto node = id(e.node);
    return fb::CreateTraceEvent(builder_, static_cast<uint8_t>(e.kind), e.at_ns, e.value, &at, &node);
  }
  Offset<fb::StepTrace> make(const StepTrace& s) {
    if (s.stage < -1 || s.stage >= static_cast<int32_t>(kMaxStages)) error_ = "trace.stage";
    const auto at = epoch(s.epoch);
    return fb::CreateStepTrace(builder_, &at, s.micro_batch.value, s.stage, count(s.rows, "trace.rows"),
                               count(s.sequences, "trace.sequences"), s.arrived_ns, s.began_ns, s.computed_ns,
                               s.sent_ns, s.sent_bytes, s.failed);
  }
  Offset<fb::RunningRequest> make(const RunningRequest& r) {
    const auto fingerprint = name(r.fingerprint, "running.fingerprint");
    const auto who = request(r.request);
    return fb::CreateRunningRequest(
        builder_, &who, fingerprint, static_cast<uint8_t>(r.phase),
        count(r.queue_position, "running.queue_position"), count(r.prompt_tokens, "running.prompt_tokens"),
        count(r.prefilled_tokens, "running.prefilled_tokens"),
        count(r.completion_tokens, "running.completion_tokens"), count(r.resumed, "running.resumed"),
        rate(r.age_s, "running.age"), rate(r.tokens_per_s, "running.tokens_per_s"));
  }

  // ---- messages
  Body body_of(const TraceQuery& m) {
    const auto who = request(m.request);
    return {fb::Body::TraceQuery, fb::CreateTraceQuery(builder_, m.nonce, &who, m.list).Union()};
  }
  Body body_of(const TraceReply& m) {
    const auto each = [this](const auto& value) { return make(value); };
    const auto events = tables(m.events, kMaxTraceEvents, "trace.events", each);
    const auto steps = tables(m.steps, kMaxTraceSteps, "trace.steps", each);
    const auto requests = tables(m.requests, kMaxTraceRequests, "trace.requests", each);
    return {fb::Body::TraceReply,
            fb::CreateTraceReply(builder_, m.nonce, m.now_ns, events, steps, requests).Union()};
  }
  Body body_of(const Ping& m) {
    flatbuffers::Offset<flatbuffers::Vector<uint8_t>> padding = 0;
    if (m.padding_bytes > 0 && admit(m.padding_bytes, 1, kMaxPingBytes, "ping.padding")) {
      uint8_t* zeros = nullptr;
      padding = builder_.CreateUninitializedVector<uint8_t>(m.padding_bytes, &zeros);
      std::memset(zeros, 0, m.padding_bytes);
    }
    return {fb::Body::Ping, fb::CreatePing(builder_, m.nonce, padding).Union()};
  }
  Body body_of(const Pong& m) { return {fb::Body::Pong, fb::CreatePong(builder_, m.nonce).Union()}; }
  Body body_of(const Gossip& m) {
    const auto each = [this](const auto& value) { return make(value); };
    const auto nodes = tables(m.nodes, kMaxNodes, "gossip.nodes", each);
    const auto instances = tables(m.instances, kMaxInstances, "gossip.instances", each);
    return {fb::Body::Gossip, fb::CreateGossip(builder_, nodes, instances).Union()};
  }
  Body body_of(const GossipDigest& m) {
    const auto each = [this](const auto& value) { return make(value); };
    const auto nodes = tables(m.nodes, kMaxNodes, "digest.nodes", each);
    const auto instances = tables(m.instances, kMaxInstances, "digest.instances", each);
    return {fb::Body::GossipDigest, fb::CreateGossipDigest(builder_, nodes, instances).Union()};
  }
  Body body_of(const LeaveRequest& m) {
    const auto reason = text(m.reason, kMaxTextBytes, "leave");
    return {fb::Body::LeaveRequest, fb::CreateLeaveRequest(builder_, reason).Union()};
  }
  Body body_of(const Goodbye& m) {
    const auto reason = text(m.reason, kMaxTextBytes, "goodbye.reason");
    return {fb::Body::Goodbye, fb::CreateGoodbye(builder_, reason).Union()};
  }
  Body body_of(const SubmitRequest& m) {
    const auto fingerprint = name(m.fingerprint, "request.fingerprint");
    const auto tokens = numbers(m.tokens, kMaxRequestTokens, "request.tokens");
    const auto stops = numbers(m.stop_tokens, kMaxStopTokens, "request.stop_tokens");
    const auto sampler = make(m.sampler);
    const auto who = request(m.request);
    const auto at = epoch(m.epoch);
    const auto offset = fb::CreateSubmitRequest(builder_, &who, fingerprint, &at, tokens,
                                                count(m.prompt_tokens, "request.prompt_tokens"),
                                                count(m.max_new_tokens, "request.max_new_tokens"), stops, sampler);
    return {fb::Body::SubmitRequest, offset.Union()};
  }
  Body body_of(const CancelRequest& m) {
    const auto who = request(m.request);
    return {fb::Body::CancelRequest, fb::CreateCancelRequest(builder_, &who).Union()};
  }
  Body body_of(const RequestUpdate& m) {
    const auto tokens = sampled(m.tokens);
    const auto error = text(m.error, kMaxTextBytes, "update.error");
    const auto who = request(m.request);
    const auto at = epoch(m.epoch);
    const auto offset = fb::CreateRequestUpdate(
        builder_, &who, &at, count(m.index, "update.index"), tokens, static_cast<uint8_t>(m.finish),
        count(m.queue_position, "update.queue_position"), count(m.prefilled_tokens, "update.prefilled_tokens"),
        count(m.cached_tokens, "update.cached_tokens"), static_cast<uint8_t>(m.error_code), error);
    return {fb::Body::RequestUpdate, offset.Union()};
  }
  Body body_of(const Step& m) {
    const auto fingerprint = name(m.fingerprint, "step.fingerprint");
    const auto sequences =
        tables(m.sequences, kMaxSequences, "step.sequences", [this](const auto& value) { return make(value); });
    const auto closed = numbers(m.closed_slots, kMaxSequences, "step.closed_slots");
    const auto tokens = numbers(m.tokens, kMaxStepTokens, "step.tokens");
    const auto at = epoch(m.epoch);
    const auto offset = fb::CreateStep(builder_, fingerprint, &at, m.micro_batch.value, sequences, closed, tokens,
                                       m.computed.slowest_us, m.computed.all_us);
    return {fb::Body::Step, offset.Union()};
  }
  Body body_of(const StepResult& m) {
    const auto fingerprint = name(m.fingerprint, "step.fingerprint");
    const auto tokens = sampled(m.tokens);
    const auto counts = numbers(m.counts, kMaxSequences, "step.counts");
    const auto at = epoch(m.epoch);
    const auto offset = fb::CreateStepResult(builder_, fingerprint, &at, m.micro_batch.value, tokens, counts,
                                             m.computed.slowest_us, m.computed.all_us);
    return {fb::Body::StepResult, offset.Union()};
  }
  Body body_of(const StepFailed& m) {
    const auto fingerprint = name(m.fingerprint, "step.fingerprint");
    const auto error = text(m.error, kMaxTextBytes, "step.error");
    const auto at = epoch(m.epoch);
    const auto offset = fb::CreateStepFailed(builder_, fingerprint, &at, m.micro_batch.value,
                                             static_cast<uint8_t>(m.error_code), error);
    return {fb::Body::StepFailed, offset.Union()};
  }

  // ---- caches that are carried over
  Body body_of(const CacheQuery& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto at = epoch(m.epoch);
    return {fb::Body::CacheQuery,
            fb::CreateCacheQuery(builder_, fingerprint, &at, m.nonce, count(m.most_blocks, "cache.most_blocks"),
                                 count(m.block_positions, "cache.block_positions"))
                .Union()};
  }
  Body body_of(const CacheOffer& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto blocks = numbers(m.blocks, kMaxOfferPartBlocks, "offer.blocks");
    const auto parents = numbers(m.parents, kMaxOfferPartBlocks, "offer.parents");
    const auto tokens = numbers(m.tokens, kMaxOfferPartTokens, "offer.tokens");
    const auto at = epoch(m.epoch);
    return {fb::Body::CacheOffer,
            fb::CreateCacheOffer(builder_, fingerprint, &at, m.nonce, blocks, parents, tokens, m.last).Union()};
  }
  Body body_of(const CacheRelease& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto at = epoch(m.epoch);
    return {
        fb::Body::CacheRelease,
        fb::CreateCacheRelease(builder_, fingerprint, &at, m.nonce, count(m.count, "cache.count"), m.done).Union()};
  }
  Body body_of(const CacheReleased& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto at = epoch(m.epoch);
    return {fb::Body::CacheReleased,
            fb::CreateCacheReleased(builder_, fingerprint, &at, m.nonce, count(m.count, "cache.count"), m.held)
                .Union()};
  }
  Body body_of(const CacheFill& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto from = numbers(m.from, kMaxOfferPartBlocks, "fill.from");
    const auto to = numbers(m.to, kMaxOfferPartBlocks, "fill.to");
    const auto at = epoch(m.epoch);
    return {fb::Body::CacheFill,
            fb::CreateCacheFill(builder_, fingerprint, &at, m.batch, m.next_step.value, from, to).Union()};
  }
  Body body_of(const CacheFilled& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto error = text(m.error, kMaxTextBytes, "filled.error");
    const auto at = epoch(m.epoch);
    return {fb::Body::CacheFilled,
            fb::CreateCacheFilled(builder_, fingerprint, &at, m.batch, m.bytes, error).Union()};
  }
  Body body_of(const CacheRead& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto blocks = numbers(m.blocks, kMaxOfferPartBlocks, "read.blocks");
    const auto type = name(m.type, "read.type");
    const auto at = epoch(m.epoch);
    const auto range = layers(m.layers);
    return {fb::Body::CacheRead, fb::CreateCacheRead(builder_, fingerprint, &at, m.nonce, &range, blocks, type,
                                                     count(m.block_positions, "cache.block_positions"))
                                     .Union()};
  }
  Body body_of(const CachePiece& m) {
    const auto fingerprint = name(m.fingerprint, "cache.fingerprint");
    const auto error = text(m.error, kMaxTextBytes, "piece.error");
    const auto at = epoch(m.epoch);
    return {fb::Body::CachePiece, fb::CreateCachePiece(builder_, fingerprint, &at, m.nonce, error).Union()};
  }

  flatbuffers::FlatBufferBuilder builder_{1024};
  std::string error_;  // the field that is over its limit
  uint64_t charged_ = 0, tables_ = 0;
};

}  // namespace

Result<std::vector<std::byte>> encode(const Message& message) { return Writer().frame(message); }

}  // namespace exo::wire
