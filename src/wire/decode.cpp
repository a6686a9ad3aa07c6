// Frame → message. The verifier proves that every offset lies in the envelope; the limits are checked here, each
// before the allocation that it bounds. After the first error everything else reads as empty.

#include <cmath>
#include <cstring>

#include "wire/codec.h"
#include "wire/envelope_generated.h"
#include "wire/limits.h"

namespace exo::wire {
namespace {

class Reader {
 public:
  Result<Message> message(const fb::Envelope& envelope, std::span<const std::byte> tensor) {
    if (envelope.tensor_bytes() != tensor.size()) return fail(ErrorCode::kCorrupt, "frame: wrong tensor size");
    const bool is_piece = envelope.body_type() == fb::Body::CachePiece;
    if (!tensor.empty() && envelope.body_type() != fb::Body::Step && !is_piece) {
      return fail(ErrorCode::kCorrupt, "frame: tensor bytes after a message that has none");
    }
    Message result = body(envelope);
    if (auto* step = std::get_if<Step>(&result); step != nullptr && error_ == nullptr && !tensor.empty()) {
      if (tensor.size() % sizeof(float) != 0) return fail(ErrorCode::kCorrupt, "frame: ragged activations");
      step->activations.resize(tensor.size() / sizeof(float));
      std::memcpy(step->activations.data(), tensor.data(), tensor.size());
    }
    if (is_piece && error_ == nullptr && admit(tensor.size(), 1, kMaxCachePieceBytes, "piece.bytes"))
      std::get<CachePiece>(result).bytes.assign(tensor.begin(), tensor.end());
    if (error_ != nullptr) return fail(ErrorCode::kCorrupt, "frame: {} out of range", error_);
    return result;
  }

 private:
  bool admit(size_t n, size_t element_bytes, size_t limit, const char* what) {
    charged_ += n * element_bytes;  // n < 2^32: no overflow
    if (n > limit || charged_ > kMaxDecodedBytes) error_ = what;
    return error_ == nullptr;
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
  template <typename Enum>
  Enum choice(uint8_t value, Enum last, const char* what) {
    if (value > static_cast<uint8_t>(last)) error_ = what;
    return static_cast<Enum>(value);
  }
  ErrorCode error_code(uint8_t value) { return choice(value, ErrorCode::kInternal, "error code"); }

  std::string text(const flatbuffers::String* value, size_t limit, const char* what) {
    if (value == nullptr || !admit(value->size(), 1, limit, what)) return {};
    return value->str();
  }
  std::string name(const flatbuffers::String* value, const char* what) { return text(value, kMaxNameBytes, what); }

  template <typename T, typename Raw>
  std::vector<T> numbers(const flatbuffers::Vector<Raw>* values, size_t limit, const char* what) {
    static_assert(sizeof(T) == sizeof(Raw));
    if (values == nullptr || values->size() == 0 || !admit(values->size(), sizeof(T), limit, what)) return {};
    std::vector<T> out(values->size());
    std::memcpy(out.data(), values->Data(), out.size() * sizeof(T));
    return out;
  }
  template <typename T, typename Vector, typename Make>
  std::vector<T> tables(const Vector* values, size_t limit, const char* what, Make make) {
    std::vector<T> out;
    if (values == nullptr || !admit(values->size(), sizeof(T), limit, what)) return out;
    out.reserve(values->size());
    for (flatbuffers::uoffset_t i = 0; i < values->size() && error_ == nullptr; ++i) {
      out.push_back(make(values->Get(i)));
    }
    return out;
  }
  std::vector<std::pair<TokenId, float>> weights(const flatbuffers::Vector<const fb::TokenWeight*>* values,
                                                 size_t limit, const char* what) {
    return tables<std::pair<TokenId, float>>(values, limit, what, [](const fb::TokenWeight* pair) {
      return std::pair{TokenId(pair->token()), pair->weight()};
    });
  }

  static NodeId id(const fb::Id& value) {
    NodeId node;
    std::memcpy(node.bytes.data(), value.bytes()->Data(), node.bytes.size());
    return node;
  }
  static Epoch epoch(const fb::EpochId* value) { return {value->counter(), id(value->proposer())}; }
  static RequestId request(const fb::Request* value) { return {value->high(), value->low()}; }
  LayerRange layers(const fb::Layers* value) {
    const bool sane =
        value->begin() >= 0 && value->begin() <= value->end() && value->end() <= static_cast<int32_t>(kMaxLayers);
    if (!sane) error_ = "layer range";
    return {LayerIndex(value->begin()), LayerIndex(value->end())};
  }

  Ping ping(const fb::Ping* m) {
    const size_t padding = m->padding() == nullptr ? 0 : m->padding()->size();
    if (!admit(padding, 1, kMaxPingBytes, "ping.padding")) return {};
    return {m->nonce(), static_cast<uint32_t>(padding)};
  }

  // ---- facts
  FormatRate format_rate(const fb::FormatRate* r) {
    return {name(r->weight_type(), "rate.weight_type"), rate(r->stream_bytes_per_s(), "rate.stream_bytes"),
            rate(r->ops_per_s(), "rate.ops"), rate(r->few_rows_ops_per_s(), "rate.few_rows_ops")};
  }
  DeviceProfile device(const fb::DeviceProfile* d) {
    return {.os = name(d->os(), "device.os"),
            .arch = name(d->arch(), "device.arch"),
            .processor = name(d->processor(), "device.processor"),
            .threads = count(d->threads(), "device.threads"),
            .memory_total_bytes = d->memory_total_bytes(),
            .memory_budget_bytes = d->memory_budget_bytes(),
            .memory_bandwidth_bytes_per_s = rate(d->memory_bandwidth_bytes_per_s(), "device.memory_bandwidth"),
            .int8_ops_per_s = rate(d->int8_ops_per_s(), "device.int8_ops"),
            .f32_flops_per_s = rate(d->f32_flops_per_s(), "device.f32_flops"),
            .disk_bytes_per_s = rate(d->disk_bytes_per_s(), "device.disk"),
            .step_overhead_s = rate(d->step_overhead_s(), "device.step_overhead"),
            .format_rates = tables<FormatRate>(d->format_rates(), kMaxFormatRates, "device.format_rates",
                                               [this](auto* r) { return format_rate(r); }),
            .decode_correction = rate(d->decode_correction(), "device.decode_correction"),
            .prefill_correction = rate(d->prefill_correction(), "device.prefill_correction")};
  }
  FormatBytes format_bytes(const fb::FormatBytes* f) {
    return {name(f->weight_type(), "format.weight_type"), f->layer_bytes(), f->expert_bytes(), f->head_bytes()};
  }
  ModelOffer offer(const fb::ModelOffer* m) {
    ModelFacts facts{.name = name(m->name(), "model.name"),
                     .fingerprint = name(m->fingerprint(), "model.fingerprint"),
                     .architecture = name(m->architecture(), "model.architecture"),
                     .weight_type = name(m->weight_type(), "model.weight_type"),
                     .n_layers = count(m->n_layers(), "model.n_layers"),
                     .d_model = count(m->d_model(), "model.d_model"),
                     .n_vocab = count(m->n_vocab(), "model.n_vocab"),
                     .context_length = count(m->context_length(), "model.context_length"),
                     .file_bytes = m->file_bytes(),
                     .layer_bytes = numbers<uint64_t>(m->layer_bytes(), kMaxLayers, "model.layer_bytes"),
                     .embedding_bytes = m->embedding_bytes(),
                     .head_bytes = m->head_bytes(),
                     .kv_bytes_per_position =
                         numbers<uint64_t>(m->kv_bytes_per_position(), kMaxLayers, "model.kv_bytes_per_position"),
                     .state_bytes = numbers<uint64_t>(m->state_bytes(), kMaxLayers, "model.state_bytes"),
                     .expert_bytes = numbers<uint64_t>(m->expert_bytes(), kMaxLayers, "model.expert_bytes"),
                     .n_experts = count(m->n_experts(), "model.n_experts"),
                     .n_experts_used = count(m->n_experts_used(), "model.n_experts_used"),
                     .attention_width = count(m->attention_width(), "model.attention_width"),
                     .tensor_parallel_parts = count(m->tensor_parallel_parts(), "model.tensor_parallel_parts"),
                     .kv_whole_in_groups = m->kv_whole_in_groups(),
                     .formats = tables<FormatBytes>(m->formats(), kMaxWeightFormats, "model.formats",
                                                    [this](auto* f) { return format_bytes(f); }),
                     .feed_forward_width = count(m->feed_forward_width(), "model.feed_forward_width"),
                     .exchanges_norms = m->exchanges_norms()};
    return {std::move(facts), m->complete(), name(m->content_root(), "model.content_root")};
  }
  StageStatus status(const fb::StageStatus* s) {
    return {.fingerprint = name(s->fingerprint(), "stage.fingerprint"),
            .epoch = epoch(s->epoch()),
            .layers = layers(s->layers()),
            .state = choice(s->state(), StageState::kFailed, "stage.state"),
            .done_bytes = s->done_bytes(),
            .total_bytes = s->total_bytes(),
            .error = text(s->error(), kMaxTextBytes, "stage.error")};
  }
  StageTimes stage_times(const fb::StageTimes* s) {
    return {name(s->fingerprint(), "stage_times.fingerprint"), layers(s->layers()),
            rate(s->decode_ms(), "stage_times.decode"), rate(s->prefill_ms_per_row(), "stage_times.prefill")};
  }
  LinkFacts link(const fb::LinkFacts* l) {
    return {id(*l->peer()), name(l->interface(), "link.interface"), l->round_trip_us(),
            rate(l->bandwidth_bytes_per_s(), "link.bandwidth")};
  }
  NodeFacts node(const fb::NodeFacts* n) {
    NodeFacts facts;
    facts.id = id(*n->id());
    facts.incarnation = n->incarnation();
    facts.sequence = n->sequence();
    facts.name = name(n->name(), "node.name");
    facts.software_version = name(n->software_version(), "node.version");
    facts.peer_port = n->peer_port();
    facts.api_port = n->api_port();
    facts.addresses = tables<std::string>(n->addresses(), kMaxAddresses, "node.addresses",
                                          [this](const auto* a) { return name(a, "node.address"); });
    facts.device = device(n->device());
    facts.models = tables<ModelOffer>(n->models(), kMaxModels, "node.models", [this](auto* m) { return offer(m); });
    facts.stages =
        tables<StageStatus>(n->stages(), kMaxStages, "node.stages", [this](auto* s) { return status(s); });
    facts.links = tables<LinkFacts>(n->links(), kMaxLinks, "node.links", [this](auto* l) { return link(l); });
    facts.tokens_per_s = rate(n->tokens_per_s(), "node.tokens_per_s");
    facts.leaving = n->leaving();
    facts.stage_times = tables<StageTimes>(n->stage_times(), kMaxStages, "node.stage_times",
                                           [this](auto* s) { return stage_times(s); });
    facts.withdrawal = text(n->withdrawal(), kMaxTextBytes, "node.withdrawal");
    return facts;
  }
  template <typename Stages>
  std::vector<PlannedStage> planned_stages(const Stages* stages) {
    return tables<PlannedStage>(stages, kMaxStages, "instance.stages", [this](auto* s) {
      PlannedStage stage{id(*s->node()), layers(s->layers()), s->incarnation(), {}};
      stage.members = tables<StageMember>(s->members(), kMaxMembers, "instance.members", [this](auto* m) {
        return StageMember{id(*m->node()), m->incarnation(), m->share()};
      });
      return stage;
    });
  }
  InstanceRecord instance(const fb::InstanceRecord* r) {
    InstanceRecord record;
    record.fingerprint = name(r->fingerprint(), "instance.fingerprint");
    record.model_name = name(r->model_name(), "instance.model_name");
    record.epoch = epoch(r->epoch());
    record.strategy = name(r->strategy(), "instance.strategy");
    record.stages = planned_stages(r->stages());
    record.context_tokens = at_most(kMaxContextTokens, r->context_tokens(), "instance.context_tokens");
    record.max_sequences = at_most(kMaxInstanceSequences, r->max_sequences(), "instance.max_sequences");
    record.problem = text(r->problem(), kMaxTextBytes, "instance.problem");
    record.stopped = r->stopped();
    record.objective = name(r->objective(), "instance.objective");
    if (const auto* previous = r->previous()) {
      record.previous =
          PlannedRing{epoch(previous->epoch()), planned_stages(previous->stages()),
                      at_most(kMaxContextTokens, previous->context_tokens(), "ring.context_tokens"),
                      at_most(kMaxInstanceSequences, previous->max_sequences(), "ring.max_sequences")};
    }
    if (const auto* content = r->content())
      record.content = {id(*content->origin()), name(content->root(), "content.root")};
    return record;
  }

  // ---- requests and steps
  SamplerSettings sampler(const fb::Sampler* s) {
    SamplerSettings settings;
    settings.temperature = finite(s->temperature(), "sampler.temperature");
    settings.top_k = s->top_k();
    settings.top_p = finite(s->top_p(), "sampler.top_p");
    settings.min_p = finite(s->min_p(), "sampler.min_p");
    settings.repetition_penalty = finite(s->repetition_penalty(), "sampler.repetition_penalty");
    settings.presence_penalty = finite(s->presence_penalty(), "sampler.presence_penalty");
    settings.frequency_penalty = finite(s->frequency_penalty(), "sampler.frequency_penalty");
    settings.penalty_window = s->penalty_window();
    settings.logit_bias = weights(s->logit_bias(), kMaxLogitBias, "sampler.logit_bias");
    for (const auto& bias : settings.logit_bias) finite(bias.second, "sampler.logit_bias");
    settings.seed = s->seed();
    settings.top_log_probabilities = s->top_log_probabilities();
    return settings;
  }
  template <typename Vector>
  std::vector<SampledToken> sampled(const Vector* tokens) {
    return tables<SampledToken>(tokens, kMaxStepTokens, "tokens", [this](const fb::SampledToken* t) {
      return SampledToken{TokenId(t->token()), t->log_probability(),
                          weights(t->alternatives(), kMaxAlternatives, "token.alternatives")};
    });
  }
  StepSequence sequence(const fb::StepSequence* s) {
    StepSequence result;
    result.slot = SlotId(count(s->slot(), "sequence.slot"));
    result.first = Position(count(s->first(), "sequence.first"));
    result.n_tokens = count(s->n_tokens(), "sequence.n_tokens");
    result.wants_logits = s->wants_logits();
    result.first_block = count(s->first_block(), "sequence.first_block");
    result.blocks = numbers<BlockId>(s->blocks(), kMaxBlocks, "sequence.blocks");
    if (const auto* opening = s->opening()) {
      result.opening = SlotOpening{sampler(opening->sampler()),
                                   numbers<TokenId>(opening->history(), kMaxRequestTokens, "opening.history"),
                                   count(opening->prompt_tokens(), "opening.prompt_tokens")};
    }
    result.draft = numbers<TokenId>(s->draft(), kMaxDraftTokens, "sequence.draft");
    if (const auto* of = s->request()) result.request = request(of);
    return result;
  }

  // ---- messages
  Message body(const fb::Envelope& envelope) {
    switch (envelope.body_type()) {
      case fb::Body::Ping:
        return ping(envelope.body_as_Ping());
      case fb::Body::Pong:
        return Pong{envelope.body_as_Pong()->nonce()};
      case fb::Body::Gossip:
        return gossip(envelope.body_as_Gossip());
      case fb::Body::GossipDigest:
        return digest(envelope.body_as_GossipDigest());
      case fb::Body::LeaveRequest:
        return LeaveRequest{text(envelope.body_as_LeaveRequest()->reason(), kMaxTextBytes, "leave")};
      case fb::Body::Goodbye:
        return Goodbye{text(envelope.body_as_Goodbye()->reason(), kMaxTextBytes, "goodbye")};
      case fb::Body::SubmitRequest:
        return submit(envelope.body_as_SubmitRequest());
      case fb::Body::CancelRequest:
        return CancelRequest{request(envelope.body_as_CancelRequest()->request())};
      case fb::Body::RequestUpdate:
        return update(envelope.body_as_RequestUpdate());
      case fb::Body::Step:
        return step(envelope.body_as_Step());
      case fb::Body::StepResult:
        return step_result(envelope.body_as_StepResult());
      case fb::Body::StepFailed:
        return step_failed(envelope.body_as_StepFailed());
      case fb::Body::TraceQuery:
        return trace_query(envelope.body_as_TraceQuery());
      case fb::Body::TraceReply:
        return trace_reply(envelope.body_as_TraceReply());
      case fb::Body::CacheQuery:
        return cache_query(envelope.body_as_CacheQuery());
      case fb::Body::CacheOffer:
        return cache_offer(envelope.body_as_CacheOffer());
      case fb::Body::CacheRelease: {
        const auto* m = envelope.body_as_CacheRelease();
        return CacheRelease{name(m->fingerprint(), "cache.fingerprint"), epoch(m->epoch()), m->nonce(),
                            count(m->count(), "cache.count"), m->done()};
      }
      case fb::Body::CacheReleased: {
        const auto* m = envelope.body_as_CacheReleased();
        return CacheReleased{name(m->fingerprint(), "cache.fingerprint"), epoch(m->epoch()), m->nonce(),
                             count(m->count(), "cache.count"), m->held()};
      }
      case fb::Body::CacheFill:
        return cache_fill(envelope.body_as_CacheFill());
      case fb::Body::CacheFilled:
        return cache_filled(envelope.body_as_CacheFilled());
      case fb::Body::CacheRead:
        return cache_read(envelope.body_as_CacheRead());
      case fb::Body::CachePiece: {
        const auto* m = envelope.body_as_CachePiece();
        return CachePiece{name(m->fingerprint(), "cache.fingerprint"),
                          epoch(m->epoch()),
                          m->nonce(),
                          {},
                          text(m->error(), kMaxTextBytes, "piece.error")};
      }
      case fb::Body::NONE:
        break;
    }
    error_ = "message type";
    return Ping{};
  }
  Gossip gossip(const fb::Gossip* m) {
    return {tables<NodeFacts>(m->nodes(), kMaxNodes, "gossip.nodes", [this](auto* n) { return node(n); }),
            tables<InstanceRecord>(m->instances(), kMaxInstances, "gossip.instances",
                                   [this](auto* r) { return instance(r); })};
  }
  GossipDigest digest(const fb::GossipDigest* m) {
    return {tables<NodeVersion>(m->nodes(), kMaxNodes, "digest.nodes",
                                [](auto* v) {
                                  return NodeVersion{id(*v->id()), v->incarnation(), v->sequence()};
                                }),
            tables<InstanceVersion>(m->instances(), kMaxInstances, "digest.instances", [this](auto* v) {
              return InstanceVersion{name(v->fingerprint(), "instance.fingerprint"), epoch(v->epoch())};
            })};
  }
  SubmitRequest submit(const fb::SubmitRequest* m) {
    return {.request = request(m->request()),
            .fingerprint = name(m->fingerprint(), "request.fingerprint"),
            .epoch = epoch(m->epoch()),
            .tokens = numbers<TokenId>(m->tokens(), kMaxRequestTokens, "request.tokens"),
            .prompt_tokens = count(m->prompt_tokens(), "request.prompt_tokens"),
            .max_new_tokens = count(m->max_new_tokens(), "request.max_new_tokens"),
            .stop_tokens = numbers<TokenId>(m->stop_tokens(), kMaxStopTokens, "request.stop_tokens"),
            .sampler = sampler(m->sampler())};
  }
  RequestUpdate update(const fb::RequestUpdate* m) {
    return {.request = request(m->request()),
            .epoch = epoch(m->epoch()),
            .index = count(m->index(), "update.index"),
            .tokens = sampled(m->tokens()),
            .finish = choice(m->finish(), FinishReason::kError, "update.finish"),
            .queue_position = count(m->queue_position(), "update.queue_position"),
            .prefilled_tokens = count(m->prefilled_tokens(), "update.prefilled_tokens"),
            .cached_tokens = count(m->cached_tokens(), "update.cached_tokens"),
            .error_code = error_code(m->error_code()),
            .error = text(m->error(), kMaxTextBytes, "update.error")};
  }
  Step step(const fb::Step* m) {
    return {.fingerprint = name(m->fingerprint(), "step.fingerprint"),
            .epoch = epoch(m->epoch()),
            .micro_batch = MicroBatchId(m->micro_batch()),
            .sequences = tables<StepSequence>(m->sequences(), kMaxSequences, "step.sequences",
                                              [this](auto* s) { return sequence(s); }),
            .closed_slots = numbers<SlotId>(m->closed_slots(), kMaxSequences, "step.closed_slots"),
            .tokens = numbers<TokenId>(m->tokens(), kMaxStepTokens, "step.tokens"),
            .activations = {},
            .computed = {m->slowest_us(), m->all_us()}};
  }
  StepResult step_result(const fb::StepResult* m) {
    return {name(m->fingerprint(), "step.fingerprint"),
            epoch(m->epoch()),
            MicroBatchId(m->micro_batch()),
            sampled(m->tokens()),
            numbers<int32_t>(m->counts(), kMaxSequences, "step.counts"),
            {m->slowest_us(), m->all_us()}};
  }
  StepFailed step_failed(const fb::StepFailed* m) {
    return {name(m->fingerprint(), "step.fingerprint"), epoch(m->epoch()), MicroBatchId(m->micro_batch()),
            error_code(m->error_code()), text(m->error(), kMaxTextBytes, "step.error")};
  }

  TraceQuery trace_query(const fb::TraceQuery* m) { return {m->nonce(), request(m->request()), m->list()}; }
  TraceReply trace_reply(const fb::TraceReply* m) {
    return {.nonce = m->nonce(),
            .now_ns = m->now_ns(),
            .events = tables<TraceEvent>(m->events(), kMaxTraceEvents, "trace.events",
                                         [this](auto* e) { return trace_event(e); }),
            .steps = tables<StepTrace>(m->steps(), kMaxTraceSteps, "trace.steps",
                                       [this](auto* s) { return step_trace(s); }),
            .requests = tables<RunningRequest>(m->requests(), kMaxTraceRequests, "trace.requests",
                                               [this](auto* r) { return running(r); })};
  }
  TraceEvent trace_event(const fb::TraceEvent* e) {
    return {choice(e->kind(), TraceEventKind::kFinished, "trace.kind"), e->at_ns(), e->value(), epoch(e->epoch()),
            id(*e->node())};
  }
  int32_t trace_stage(int32_t stage) {
    if (stage < -1 || stage >= static_cast<int32_t>(kMaxStages)) error_ = "trace.stage";
    return stage;
  }
  StepTrace step_trace(const fb::StepTrace* s) {
    return {.epoch = epoch(s->epoch()),
            .micro_batch = MicroBatchId(s->micro_batch()),
            .stage = trace_stage(s->stage()),
            .rows = count(s->rows(), "trace.rows"),
            .sequences = count(s->sequences(), "trace.sequences"),
            .arrived_ns = s->arrived_ns(),
            .began_ns = s->began_ns(),
            .computed_ns = s->computed_ns(),
            .sent_ns = s->sent_ns(),
            .sent_bytes = s->sent_bytes(),
            .failed = s->failed()};
  }
  RunningRequest running(const fb::RunningRequest* r) {
    return {.request = request(r->request()),
            .fingerprint = name(r->fingerprint(), "running.fingerprint"),
            .phase = choice(r->phase(), RequestPhase::kResuming, "running.phase"),
            .queue_position = count(r->queue_position(), "running.queue_position"),
            .prompt_tokens = count(r->prompt_tokens(), "running.prompt_tokens"),
            .prefilled_tokens = count(r->prefilled_tokens(), "running.prefilled_tokens"),
            .completion_tokens = count(r->completion_tokens(), "running.completion_tokens"),
            .resumed = count(r->resumed(), "running.resumed"),
            .age_s = rate(r->age_s(), "running.age"),
            .tokens_per_s = rate(r->tokens_per_s(), "running.tokens_per_s")};
  }

  // ---- caches that are carried over
  CacheQuery cache_query(const fb::CacheQuery* m) {
    return {name(m->fingerprint(), "cache.fingerprint"), epoch(m->epoch()), m->nonce(),
            count(m->most_blocks(), "cache.most_blocks"), count(m->block_positions(), "cache.block_positions")};
  }
  CacheOffer cache_offer(const fb::CacheOffer* m) {
    return {.fingerprint = name(m->fingerprint(), "cache.fingerprint"),
            .epoch = epoch(m->epoch()),
            .nonce = m->nonce(),
            .blocks = numbers<BlockId>(m->blocks(), kMaxOfferPartBlocks, "offer.blocks"),
            .parents = numbers<int32_t>(m->parents(), kMaxOfferPartBlocks, "offer.parents"),
            .tokens = numbers<TokenId>(m->tokens(), kMaxOfferPartTokens, "offer.tokens"),
            .last = m->last()};
  }
  CacheFill cache_fill(const fb::CacheFill* m) {
    return {name(m->fingerprint(), "cache.fingerprint"),
            epoch(m->epoch()),
            m->batch(),
            MicroBatchId(m->next_step()),
            numbers<BlockId>(m->from(), kMaxOfferPartBlocks, "fill.from"),
            numbers<BlockId>(m->to(), kMaxOfferPartBlocks, "fill.to")};
  }
  CacheFilled cache_filled(const fb::CacheFilled* m) {
    return {name(m->fingerprint(), "cache.fingerprint"), epoch(m->epoch()), m->batch(), m->bytes(),
            text(m->error(), kMaxTextBytes, "filled.error")};
  }
  CacheRead cache_read(const fb::CacheRead* m) {
    return {.fingerprint = name(m->fingerprint(), "cache.fingerprint"),
            .epoch = epoch(m->epoch()),
            .nonce = m->nonce(),
            .layers = layers(m->layers()),
            .blocks = numbers<BlockId>(m->blocks(), kMaxOfferPartBlocks, "read.blocks"),
            .type = name(m->type(), "read.type"),
            .block_positions = count(m->block_positions(), "cache.block_positions")};
  }

  const char* error_ = nullptr;  // the first field found out of range; later ones may replace it
  uint64_t charged_ = 0;
};

}  // namespace

Result<Message> decode(std::span<const std::byte> frame) {
  if (frame.size() < sizeof(uint32_t)) return fail(ErrorCode::kCorrupt, "frame: shorter than its size prefix");
  uint32_t envelope_bytes = 0;
  std::memcpy(&envelope_bytes, frame.data(), sizeof envelope_bytes);
  if (envelope_bytes > kMaxEnvelopeBytes || envelope_bytes > frame.size() - sizeof envelope_bytes) {
    return fail(ErrorCode::kCorrupt, "frame: envelope of {} bytes in a frame of {}", envelope_bytes, frame.size());
  }
  const size_t tensor_at = sizeof envelope_bytes + envelope_bytes;
  const auto tensor = frame.subspan(tensor_at);
  if (tensor.size() > kMaxTensorBytes) return fail(ErrorCode::kCorrupt, "frame: {} tensor bytes", tensor.size());

  // Scalars are read in place, so the envelope must lie aligned in memory.
  const std::byte* envelope = frame.data();
  std::vector<uint64_t> aligned;
  if (reinterpret_cast<uintptr_t>(envelope) % alignof(uint64_t) != 0) {
    aligned.resize((tensor_at + sizeof(uint64_t) - 1) / sizeof(uint64_t));
    std::memcpy(aligned.data(), frame.data(), tensor_at);
    envelope = reinterpret_cast<const std::byte*>(aligned.data());
  }
  const auto* bytes = reinterpret_cast<const uint8_t*>(envelope);
  flatbuffers::Verifier verifier(bytes, tensor_at, kMaxTableDepth, kMaxTables);
  if (tensor_at < 16 || !fb::VerifySizePrefixedEnvelopeBuffer(verifier)) {
    return fail(ErrorCode::kCorrupt, "frame: not a valid envelope");
  }
  return Reader().message(*fb::GetSizePrefixedEnvelope(bytes), tensor);
}

}  // namespace exo::wire
