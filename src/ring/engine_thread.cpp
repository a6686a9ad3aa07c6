#include "ring/engine_thread.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "base/bounded_queue.h"
#include "net/caught.h"
#include "ring/slot_tables.h"

namespace exo::ring {
namespace {

template <typename T>
using Done = std::function<void(Result<T>)>;

StageLimits limits_of(const model::Stage& stage, int32_t max_slots) {
  const auto& config = stage.config();
  const auto& info = stage.model();
  return {.max_slots = max_slots,
          .n_blocks = config.n_blocks,
          .block_positions = config.block_positions,
          .max_batch_rows = config.max_batch_rows,
          .d_model = info.d_model,
          .n_vocab = info.n_vocab,
          .first_stage = config.layers.begin.value == 0,
          .last_stage = config.share.is_leader() && config.layers.end.value == info.n_layers};
}

}  // namespace

struct EngineThread::Engine {
  Engine(net::Clock& clock_in, std::unique_ptr<model::Stage> stage_in, EngineOptions options)
      : clock(clock_in),
        stage(std::move(stage_in)),
        group(std::move(options.group)),
        limits(limits_of(*stage, options.max_slots)),
        keeps_state(std::ranges::any_of(stage->model().state_bytes, [](uint64_t bytes) { return bytes > 0; })),
        layout(cache_layout()),
        slots(limits),
        queue(options.queue_capacity) {
    sequences.reserve(static_cast<size_t>(std::max(options.max_slots, 0)));
    if (limits.last_stage) logits.resize(static_cast<size_t>(limits.n_vocab));
  }

  void run() {
    while (auto work = queue.pop()) {
      if (!alive->load()) return;
      (*work)();
    }
  }

  template <typename T>
  void post(Done<T> done, Result<T> output) {
    struct Posted {
      Done<T> done;
      Result<T> output;
    };
    clock.post([alive = alive, posted = std::make_shared<Posted>(std::move(done), std::move(output))] {
      if (alive->load()) posted->done(std::move(posted->output));
    });
  }

  // `work` of `input` on the engine's thread, in order; its result, or what it throws, goes to `done`.
  template <typename T, typename Input, typename Work>
  void enqueue(Input input, Done<T> done, Work work) {
    auto shared = std::make_shared<Input>(std::move(input));
    if (!queue.try_push([this, shared, done, work] {
          post<T>(done, net::caught([&]() -> Result<T> { return work(*shared); }));
        }))
      post<T>(std::move(done), fail(ErrorCode::kUnavailable, "the stage's queue is full"));
  }

  std::optional<CacheLayout> cache_layout() const {
    const auto& config = stage->config();
    if (keeps_state || !config.share.is_whole()) return std::nullopt;
    CacheLayout own{
        config.layers, std::string(info(config.kv_type).name), config.n_blocks, config.block_positions, {}};
    for (LayerIndex i = config.layers.begin; i < config.layers.end; ++i)
      own.block_bytes.push_back(stage->cache_block_bytes(i));
    return own;
  }

  Result<std::vector<std::byte>> read_cache(const CachePart& part) const {
    for (const BlockId block : part.blocks)
      if (!slots.is_full(block)) return fail(ErrorCode::kUnavailable, "block {} is not full here", block);
    const auto& own = stage->config().layers;
    if (part.layers.begin < own.begin || part.layers.end > own.end)
      return fail(ErrorCode::kInvalidArgument, "a cache of other layers");
    std::vector<std::byte> bytes(part.blocks.size() * layout->bytes_of(part.layers));
    EXO_CHECK_OK(stage->read_cache(part.layers, part.blocks, bytes));
    return bytes;
  }

  Status complete_blocks(std::span<const BlockId> blocks) {
    if (!slots.note_full(blocks)) return fail(ErrorCode::kInvalidArgument, "blocks that are not here");
    return {};
  }

  Result<StageOutput> compute(wire::Step& step) {
    if (!group || step.sequences.empty()) return compute_alone(step);
    Result<StageOutput> output;
    if (const Status begun = group->begin_step(step.micro_batch)) {
      output = net::caught([&] { return compute_alone(step); });
    } else {
      output = std::unexpected(begun.error());
    }
    if (!output) group->abandon_step();
    return output;
  }

  Result<StageOutput> compute_alone(wire::Step& step) {
    const auto begin = std::chrono::steady_clock::now();
    if (keeps_state && std::ranges::any_of(step.sequences, &wire::StepSequence::is_ahead))
      return fail(ErrorCode::kInvalidArgument, "guesses for a model with a state");
    EXO_CHECK_OK(slots.apply(step));
    StageOutput output;
    if (is_void(step)) {
      output.counts.assign(step.sequences.size(), 0);
    } else if (!step.sequences.empty()) {
      sequences.clear();
      for (const auto& sequence : step.sequences)
        sequences.push_back({sequence.first, sequence.n_tokens, slots.block_table(sequence.slot),
                             sequence.wants_logits, n_draft(sequence), sequence.slot.value});
      const model::StepInput input{sequences, step.tokens, step.activations, group.get()};
      EXO_TRY(const std::span<const float> computed, stage->forward(input));
      if (!stage->config().share.is_leader()) {
        // Its result is the leader's.
      } else if (limits.last_stage) {
        EXO_CHECK_OK(sample(step, computed, output));
      } else {
        output.activations.assign(computed.begin(), computed.end());
      }
    }
    output.began = begin;
    output.ended = std::chrono::steady_clock::now();
    output.compute_s = std::chrono::duration<double>(output.ended - begin).count();
    return output;
  }

  // Guesses that are checked by rows of the part itself: the first token of one that was sent ahead is checked by
  // the step before.
  static std::span<const TokenId> guesses(const wire::StepSequence& sequence) {
    return std::span(sequence.draft).subspan(sequence.is_ahead() ? 1 : 0);
  }
  static int32_t n_draft(const wire::StepSequence& sequence) {
    return static_cast<int32_t>(guesses(sequence).size());
  }

  // Nothing of it will be sampled, and whatever this device would write to its cache is written again by the steps
  // that follow. Devices of a group compute it: they have to do the same, and only one of them samples.
  bool is_void(const wire::Step& step) const {
    return limits.last_stage && !group && !step.sequences.empty() &&
           std::ranges::all_of(step.sequences, [this](const auto& sequence) { return slots.is_void(sequence); });
  }

  Status sample(const wire::Step& step, std::span<const float> computed, StageOutput& output) {
    size_t n_rows = 0;
    for (const auto& sequence : step.sequences)
      if (sequence.wants_logits) n_rows += 1 + guesses(sequence).size();
    if (computed.size() != n_rows * logits.size())
      return fail(ErrorCode::kInternal, "{} logits for {} rows", computed.size(), n_rows);
    for (const auto& sequence : step.sequences) {
      if (!sequence.wants_logits) continue;
      const size_t rows = 1 + guesses(sequence).size();
      sample_sequence(sequence, computed.first(rows * logits.size()), output);
      computed = computed.subspan(rows * logits.size());
    }
    return {};
  }

  // A row after a guess counts only if the guess was right: what is sampled is what would have been without
  // guesses.
  void sample_sequence(const wire::StepSequence& sequence, std::span<const float> computed, StageOutput& output) {
    if (slots.is_void(sequence)) return output.counts.push_back(0);
    const auto guessed = guesses(sequence);
    const auto first = sequence.first.value + sequence.n_tokens - static_cast<int32_t>(guessed.size());
    auto& sampler = slots.sampler(sequence.slot);
    size_t n_right = 0;
    while (true) {
      std::ranges::copy(computed.subspan(n_right * logits.size(), logits.size()), logits.begin());
      const Position chosen(first + static_cast<int32_t>(n_right));
      output.tokens.push_back(sampler.sample(logits, chosen));
      const TokenId sampled = output.tokens.back().token;
      slots.note_sampled(sequence.slot, chosen, sampled);
      if (n_right == guessed.size() || sampled != guessed[n_right]) break;
      ++n_right;
    }
    output.counts.push_back(static_cast<int32_t>(n_right) + 1);
  }

  net::Clock& clock;
  std::unique_ptr<model::Stage> stage;
  const std::unique_ptr<StageGroup> group;  // null: this device alone
  const StageLimits limits;
  const bool keeps_state;
  const std::optional<CacheLayout> layout;
  SlotTables slots;
  BoundedQueue<std::function<void()>> queue;
  std::shared_ptr<std::atomic<bool>> alive = std::make_shared<std::atomic<bool>>(true);
  std::vector<model::StepSequence> sequences;  // of the step being computed
  std::vector<float> logits;                   // [n_vocab], the row being sampled
  std::thread thread;
};

EngineThread::EngineThread(net::Clock& clock, std::unique_ptr<model::Stage> stage, EngineOptions options)
    : engine_(std::make_unique<Engine>(clock, std::move(stage), std::move(options))) {
  engine_->thread = std::thread([engine = engine_.get()] { engine->run(); });
}

EngineThread::~EngineThread() {
  engine_->alive->store(false);
  if (engine_->group) engine_->group->cancel();
  engine_->queue.close();
  engine_->thread.join();
}

bool EngineThread::keeps_state() const { return engine_->keeps_state; }

void EngineThread::interrupt(MicroBatchId newest) {
  if (engine_->group) engine_->group->interrupt(newest);
}

std::optional<CacheLayout> EngineThread::cache_layout() const { return engine_->layout; }

void EngineThread::execute(wire::Step step, std::function<void(Result<StageOutput>)> done) {
  engine_->enqueue<StageOutput>(std::move(step), std::move(done),
                                [engine = engine_.get()](wire::Step& s) { return engine->compute(s); });
}

void EngineThread::read_cache(CachePart part, std::function<void(Result<std::vector<std::byte>>)> done) {
  if (!engine_->layout) return engine_->post<std::vector<std::byte>>(std::move(done), no_cache_to_copy());
  engine_->enqueue<std::vector<std::byte>>(
      std::move(part), std::move(done), [engine = engine_.get()](CachePart& p) { return engine->read_cache(p); });
}

void EngineThread::write_cache(CachePart part, std::vector<std::byte> bytes, std::function<void(Status)> done) {
  if (!engine_->layout) return engine_->post<void>(std::move(done), no_cache_to_copy());
  engine_->enqueue<void>(std::pair(std::move(part), std::move(bytes)), std::move(done),
                         [engine = engine_.get()](auto& input) {
                           return engine->stage->write_cache(input.first.layers, input.first.blocks, input.second);
                         });
}

void EngineThread::complete_blocks(std::vector<BlockId> blocks, std::function<void(Status)> done) {
  if (!engine_->layout) return engine_->post<void>(std::move(done), no_cache_to_copy());
  engine_->enqueue<void>(std::move(blocks), std::move(done),
                         [engine = engine_.get()](std::vector<BlockId>& b) { return engine->complete_blocks(b); });
}

}  // namespace exo::ring
