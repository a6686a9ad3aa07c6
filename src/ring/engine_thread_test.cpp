#include "ring/engine_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>

namespace exo::ring {
namespace {

// Runs what is posted when the test's thread says so.
class PostedClock : public net::Clock {
 public:
  net::TimePoint now() const override { return {}; }
  net::Duration stopped() const override { return {}; }
  net::SteadyPoint steady_now() const override { return {}; }
  net::TimerId run_after(net::Duration, std::function<void()>) override { return 0; }
  void cancel(net::TimerId) override {}
  void post(std::function<void()> callback) override {
    {
      std::lock_guard lock(mutex_);
      posted_.push_back(std::move(callback));
    }
    ready_.notify_all();
  }
  bool run_one() {
    std::unique_lock lock(mutex_);
    if (!ready_.wait_for(lock, std::chrono::seconds(10), [this] { return !posted_.empty(); })) return false;
    auto callback = std::move(posted_.front());
    posted_.erase(posted_.begin());
    lock.unlock();
    callback();
    return true;
  }
  void wait_for_posts(size_t n) {
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, std::chrono::seconds(10), [&] { return posted_.size() >= n; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<std::function<void()>> posted_;
};

// Two values per row: the token or the input plus one. At the last stage the logits after a position favour the
// token with the number of the next position.
class FakeStage final : public model::Stage {
 public:
  FakeStage(int32_t begin, int32_t end, uint64_t state_bytes = 0) {
    info_.state_bytes = {0, state_bytes};
    info_.n_layers = 4;
    info_.d_model = 2;
    info_.n_vocab = 8;
    config_ = {
        .layers = {LayerIndex(begin), LayerIndex(end)}, .max_batch_rows = 6, .block_positions = 4, .n_blocks = 5};
  }
  Result<std::span<const float>> forward(const model::StepInput& input) override {
    ++calls;
    out_.clear();
    for (const auto& sequence : input.sequences) {
      tables.emplace_back(sequence.block_table.begin(), sequence.block_table.end());
      slots.push_back(sequence.slot);
      if (config_.layers.end.value < 4 || !sequence.wants_logits) continue;
      for (int32_t row = sequence.n_draft; row >= 0; --row)
        for (int32_t i = 0; i < 8; ++i)
          out_.push_back(i == (sequence.first.value + sequence.n_tokens - row) % 8 ? 5.0f : 0.0f);
    }
    if (config_.layers.end.value < 4) {
      for (const TokenId token : input.tokens) out_.insert(out_.end(), 2, static_cast<float>(token.value));
      for (const float value : input.activations) out_.push_back(value + 1);
    }
    if (throws) throw std::bad_alloc();
    if (fails) return fail(ErrorCode::kInternal, "broken");
    return std::span<const float>(out_);
  }
  Result<std::span<const float>> forward_all_logits(const model::StepInput& input) override {
    return forward(input);
  }
  // Three bytes for a block of a layer.
  uint64_t cache_block_bytes(LayerIndex) const override { return 3; }
  Status read_cache(LayerRange layers, std::span<const BlockId> blocks, std::span<std::byte> to) const override {
    for (LayerIndex layer = layers.begin; layer < layers.end; ++layer)
      for (const BlockId block : blocks) {
        std::ranges::copy(cache.at({layer, block}), to.begin());
        to = to.subspan(3);
      }
    return {};
  }
  Status write_cache(LayerRange layers, std::span<const BlockId> blocks, std::span<const std::byte> from) override {
    for (LayerIndex layer = layers.begin; layer < layers.end; ++layer)
      for (const BlockId block : blocks) {
        cache[{layer, block}].assign(from.begin(), from.begin() + 3);
        from = from.subspan(3);
      }
    return {};
  }
  mutable std::map<std::pair<LayerIndex, BlockId>, std::vector<std::byte>> cache;
  const model::ModelInfo& model() const override { return info_; }
  const model::StageConfig& config() const override { return config_; }
  uint64_t weight_bytes() const override { return 0; }
  uint64_t kv_bytes() const override { return 0; }

  void be_member(int32_t member) { config_.share = *model::TensorShare::make({40000, 25536}, member); }

  bool fails = false, throws = false;
  std::atomic<int> calls = 0;
  std::vector<std::vector<BlockId>> tables;
  std::vector<int32_t> slots;

 private:
  model::ModelInfo info_;
  model::StageConfig config_;
  std::vector<float> out_;
};

class FakeGroup final : public StageGroup {
 public:
  Status begin_step(MicroBatchId step) override {
    begun.push_back(step.value);
    if (!reachable) return fail(ErrorCode::kUnavailable, "nobody there");
    return {};
  }
  Status exchange(std::span<const std::byte>, std::span<const std::span<std::byte>>, Receivers) override {
    return {};
  }
  void abandon_step() override { ++abandoned; }
  void interrupt(MicroBatchId newest) override { interrupted = newest.value; }
  void cancel() override { interrupted = UINT64_MAX; }

  bool reachable = true;
  std::vector<uint64_t> begun;
  int abandoned = 0;
  uint64_t interrupted = 0;
};

struct Bench {
  Bench(int32_t begin, int32_t end) : Bench(begin, end, nullptr, 0) {}
  Bench(int32_t begin, int32_t end, std::unique_ptr<FakeGroup> of, int32_t member) : group(of.get()) {
    auto owned = std::make_unique<FakeStage>(begin, end);
    if (of) owned->be_member(member);
    stage = owned.get();
    engine = std::make_unique<EngineThread>(clock, std::move(owned),
                                            EngineOptions{.max_slots = 3, .group = std::move(of)});
  }
  Result<StageOutput> run(wire::Step step) {
    Result<StageOutput> result = fail(ErrorCode::kInternal, "not called");
    engine->execute(std::move(step), [&](Result<StageOutput> output) { result = std::move(output); });
    EXPECT_TRUE(clock.run_one());
    return result;
  }
  ErrorCode error_of(wire::Step step) {
    const int before = stage->calls;
    auto result = run(std::move(step));
    EXPECT_FALSE(result);
    EXPECT_EQ(stage->calls, before) << "the stage must not see a bad step";
    return result ? ErrorCode{} : result.error().code;
  }
  PostedClock clock;
  FakeStage* stage;
  FakeGroup* group;
  std::unique_ptr<EngineThread> engine;
};

wire::StepSequence sequence(int32_t slot, int32_t first, int32_t n, std::vector<uint32_t> blocks,
                            int32_t first_block = 0, bool wants_logits = false) {
  wire::StepSequence s{.slot = SlotId(slot), .first = Position(first), .n_tokens = n, .wants_logits = wants_logits};
  s.first_block = first_block;
  for (const uint32_t block : blocks) s.blocks.emplace_back(block);
  if (wants_logits && first_block == 0) {
    s.opening.emplace();
    s.opening->sampler.temperature = 0;
  }
  return s;
}

wire::Step tokens_step(std::vector<wire::StepSequence> sequences) {
  wire::Step step;
  int32_t rows = 0;
  for (const auto& s : sequences) rows += std::max(s.n_tokens, 0);
  for (int32_t i = 0; i < rows; ++i) step.tokens.emplace_back(i % 8);
  step.sequences = std::move(sequences);
  return step;
}

TEST(EngineThread, TellsSlotsAndWhetherTheyHaveStates) {
  Bench bench(0, 2);
  ASSERT_TRUE(bench.run(tokens_step({sequence(2, 0, 2, {3}), sequence(0, 0, 1, {1})})));
  EXPECT_EQ(bench.stage->slots, (std::vector<int32_t>{2, 0}));
  EXPECT_FALSE(bench.engine->keeps_state());
  PostedClock clock;
  EXPECT_TRUE(EngineThread(clock, std::make_unique<FakeStage>(0, 2, 64), {}).keeps_state());
}

TEST(EngineThread, LastStageSamplesOnWhileGuessesAreRight) {
  Bench bench(2, 4);
  const auto guessed = [](int32_t slot, std::vector<int32_t> draft) {
    auto s = sequence(slot, 0, static_cast<int32_t>(draft.size()) + 1, {static_cast<uint32_t>(slot)}, 0, true);
    for (const int32_t token : draft) s.draft.emplace_back(token);
    return s;
  };
  // After the known token come 1, 2, 3: the first slot's guesses are right, the second's from its second on not.
  wire::Step step;
  step.sequences = {guessed(0, {1, 2}), guessed(1, {1, 7})};
  step.activations.assign(12, 0.5f);
  const auto output = bench.run(step);
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->counts, (std::vector<int32_t>{3, 2}));
  std::vector<int32_t> sampled;
  for (const auto& token : output->tokens) sampled.push_back(token.token.value);
  EXPECT_EQ(sampled, (std::vector<int32_t>{1, 2, 3, 1, 2}));

  auto bad = guessed(2, {9});
  step.sequences = {bad};
  step.activations.assign(4, 0.5f);
  EXPECT_EQ(bench.error_of(step), ErrorCode::kInvalidArgument) << "outside the vocabulary";
  bad.draft = {TokenId(1), TokenId(1), TokenId(1)};
  step.sequences = {bad};
  EXPECT_EQ(bench.error_of(step), ErrorCode::kInvalidArgument) << "more guesses than tokens";
}

wire::StepSequence ahead(int32_t slot, int32_t first, std::vector<int32_t> draft) {
  auto s = sequence(slot, first, static_cast<int32_t>(draft.size()), {}, 1, true);
  for (const int32_t token : draft) s.draft.emplace_back(token);
  return s;
}

TEST(EngineThread, WhatIsSentAheadCountsIfItBeginsWithWhatWasSampledLast) {
  Bench bench(2, 4);
  const auto run = [&](std::vector<wire::StepSequence> sequences) {
    wire::Step step;
    for (const auto& s : sequences)
      step.activations.resize(step.activations.size() + 2 * static_cast<size_t>(s.n_tokens));
    step.sequences = std::move(sequences);
    const auto output = bench.run(step);
    EXPECT_TRUE(output) << output.error().message;
    std::vector<int32_t> sampled;
    for (const auto& token : output->tokens) sampled.push_back(token.token.value);
    return std::pair(output->counts, sampled);
  };
  using Sampled = std::pair<std::vector<int32_t>, std::vector<int32_t>>;
  EXPECT_EQ(run({sequence(0, 0, 1, {0, 3}, 0, true), sequence(1, 0, 1, {1, 4}, 0, true)}),
            (Sampled{{1, 1}, {1, 1}}));
  EXPECT_EQ(run({ahead(0, 1, {1, 2, 3})}), (Sampled{{3}, {2, 3, 4}}));
  EXPECT_EQ(run({ahead(1, 1, {2, 3}), ahead(0, 4, {4, 7})}), (Sampled{{0, 1}, {5}}))
      << "the first is wrong, the second half";
  const int calls = bench.stage->calls;
  EXPECT_EQ(run({ahead(0, 6, {7})}), (Sampled{{0}, {}})) << "what it follows was not sampled";
  EXPECT_EQ(run({ahead(0, 5, {6})}), (Sampled{{0}, {}})) << "another token was sampled";
  EXPECT_EQ(bench.stage->calls, calls) << "nothing is computed for steps that are void";
  EXPECT_EQ(run({sequence(0, 5, 1, {}, 1, true)}), (Sampled{{1}, {6}})) << "the step that was due";
  EXPECT_EQ(run({ahead(0, 6, {6})}), (Sampled{{1}, {7}}));

  auto blind = ahead(0, 7, {7});
  blind.wants_logits = false;
  wire::Step step;
  step.sequences = {blind};
  step.activations.resize(2);
  EXPECT_EQ(bench.error_of(step), ErrorCode::kInvalidArgument) << "nothing would tell whether it is right";
}

TEST(EngineThread, AMemberOfAGroupComputesVoidStepsWithTheOthers) {
  Bench bench(2, 4, std::make_unique<FakeGroup>(), 0);
  wire::Step step;
  step.sequences = {sequence(0, 0, 1, {0}, 0, true)};
  step.activations.resize(2);
  ASSERT_TRUE(bench.run(step));
  step.sequences = {ahead(0, 1, {5})};
  const int calls = bench.stage->calls;
  const auto output = bench.run(step);
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->counts, std::vector<int32_t>{0});
  EXPECT_EQ(bench.stage->calls, calls + 1);
}

TEST(EngineThread, FirstStageGivesActivationsAndKeepsTables) {
  Bench bench(0, 2);
  auto first = bench.run(tokens_step({sequence(1, 0, 3, {4})}));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->activations, (std::vector<float>{0, 0, 1, 1, 2, 2}));
  ASSERT_TRUE(bench.run(tokens_step({sequence(1, 3, 2, {2}, 1)})));
  EXPECT_EQ(bench.stage->tables.back(), (std::vector{BlockId(4), BlockId(2)}));
}

TEST(EngineThread, LastStageSamples) {
  Bench bench(2, 4);
  wire::Step step;
  step.sequences = {sequence(0, 0, 2, {0}, 0, true), sequence(1, 0, 3, {1}), sequence(2, 0, 1, {2}, 0, true)};
  step.activations.resize(12);
  auto output = bench.run(step);
  ASSERT_TRUE(output) << output.error().message;
  ASSERT_EQ(output->tokens.size(), 2u);
  EXPECT_EQ(output->tokens[0].token, TokenId(2));
  EXPECT_EQ(output->tokens[1].token, TokenId(1));
  EXPECT_TRUE(output->activations.empty());
}

TEST(EngineThread, RefusesWhatPeersMayGetWrong) {
  Bench bench(0, 4);
  const auto invalid = ErrorCode::kInvalidArgument;
  EXPECT_EQ(bench.error_of(tokens_step({sequence(3, 0, 1, {0})})), invalid);  // slot
  EXPECT_EQ(bench.error_of(tokens_step({sequence(-1, 0, 1, {0})})), invalid);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 1, {5})})), invalid);     // block
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 5, {0})})), invalid);     // table too short
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 0, {0})})), invalid);     // no rows
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 7, {0, 1})})), invalid);  // too many rows
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, -1, 1, {0})})), invalid);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 1, {0}, -1)})), invalid);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 1, {0, 1, 2, 3, 4, 0})})), invalid);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 1, {0}), sequence(0, 0, 1, {0})})), invalid);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 2147483647, 1, {0})})), invalid);
  auto step = tokens_step({sequence(0, 0, 2, {0})});
  step.tokens[1] = TokenId(8);
  EXPECT_EQ(bench.error_of(step), invalid);
  step.tokens.pop_back();
  EXPECT_EQ(bench.error_of(step), invalid);
  step = tokens_step({sequence(0, 0, 1, {0})});
  step.activations = {1};
  EXPECT_EQ(bench.error_of(step), invalid);
  step = tokens_step({sequence(0, 0, 1, {0})});
  step.closed_slots = {SlotId(99)};
  EXPECT_EQ(bench.error_of(step), invalid);
  step = tokens_step({sequence(0, 0, 2, {0}, 0, true)});
  step.sequences[0].opening->history = {TokenId(1)};
  EXPECT_EQ(bench.error_of(step), invalid);
}

TEST(EngineThread, LostStepsAreUnavailableNotInvalid) {
  Bench bench(0, 4);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 4, 1, {1}, 1)})),
            ErrorCode::kUnavailable);  // no such table yet
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 4, 1, {})})), ErrorCode::kUnavailable);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 4, 1, {0, 1})})), ErrorCode::kUnavailable);  // never computed
  auto no_opening = sequence(0, 0, 1, {0}, 0, true);
  no_opening.opening.reset();
  EXPECT_EQ(bench.error_of(tokens_step({no_opening})), ErrorCode::kUnavailable);
  ASSERT_TRUE(bench.run(tokens_step({sequence(0, 0, 4, {0, 1}, 0, true)})));
  ASSERT_TRUE(bench.run(tokens_step({sequence(1, 4, 1, {0, 2}, 0, true)})));  // shares block 0
  auto closed = tokens_step({sequence(0, 5, 1, {}, 0)});
  closed.closed_slots = {SlotId(0)};
  EXPECT_EQ(bench.error_of(closed), ErrorCode::kUnavailable);
}

TEST(EngineThread, AStepOfClosedSlotsOnlyIsNotComputed) {
  Bench bench(0, 4);
  ASSERT_TRUE(bench.run(tokens_step({sequence(0, 0, 4, {0})})));
  wire::Step step;
  step.closed_slots = {SlotId(0)};
  EXPECT_TRUE(bench.run(step));
  EXPECT_EQ(bench.stage->calls, 1);
}

TEST(EngineThread, StageErrorsComeBack) {
  Bench bench(0, 4);
  bench.stage->fails = true;
  auto output = bench.run(tokens_step({sequence(0, 0, 1, {0})}));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().message, "broken");
}

TEST(EngineThread, WhatAStageThrowsFailsTheStepAndNotTheProcess) {
  Bench bench(0, 4);
  bench.stage->throws = true;
  auto output = bench.run(tokens_step({sequence(0, 0, 1, {0})}));
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, ErrorCode::kResourceExhausted);
  bench.stage->throws = false;
  EXPECT_TRUE(bench.run(tokens_step({sequence(0, 0, 1, {0})})));
}

TEST(EngineThread, OfAGroupOnlyTheLeaderSamples) {
  for (const int32_t member : {0, 1}) {
    Bench bench(0, 4, std::make_unique<FakeGroup>(), member);
    auto step = tokens_step({sequence(0, 0, 1, {0}, 0, true)});
    step.micro_batch = MicroBatchId(7);
    const auto output = bench.run(std::move(step));
    ASSERT_TRUE(output) << output.error().message;
    EXPECT_EQ(output->tokens.size(), member == 0 ? 1u : 0u);
    EXPECT_TRUE(output->activations.empty());
    EXPECT_EQ(bench.group->begun, std::vector<uint64_t>{7});
    EXPECT_EQ(bench.group->abandoned, 0);
    bench.engine->interrupt(MicroBatchId(9));
    EXPECT_EQ(bench.group->interrupted, 9u);
  }
}

TEST(EngineThread, AStepThatFailsIsAbandonedInTheGroup) {
  Bench bench(0, 4, std::make_unique<FakeGroup>(), 0);
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 9, 1, {})})), ErrorCode::kUnavailable);
  EXPECT_EQ(bench.group->abandoned, 1);
  bench.stage->fails = true;
  EXPECT_FALSE(bench.run(tokens_step({sequence(0, 0, 1, {0})})));
  EXPECT_EQ(bench.group->abandoned, 2);
  bench.stage->throws = true;
  EXPECT_FALSE(bench.run(tokens_step({sequence(0, 0, 1, {0})})));
  EXPECT_EQ(bench.group->abandoned, 3);
  bench.group->reachable = false;
  EXPECT_EQ(bench.error_of(tokens_step({sequence(0, 0, 1, {0})})), ErrorCode::kUnavailable);
  EXPECT_EQ(bench.group->abandoned, 4);
}

TEST(EngineThread, AnswersInOrderAndNoneAfterItsEnd) {
  Bench bench(0, 4);
  std::vector<int> answered;
  for (int i = 0; i < 20; ++i)
    bench.engine->execute(tokens_step({sequence(i % 3, 0, 1, {0})}),
                          [&answered, i](Result<StageOutput>) { answered.push_back(i); });
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(bench.clock.run_one());
  bench.clock.wait_for_posts(10);
  bench.engine.reset();
  for (int i = 0; i < 10; ++i) bench.clock.run_one();
  EXPECT_EQ(answered, (std::vector{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST(EngineThread, CopiesFullBlocksInOrderWithSteps) {
  Bench bench(0, 2);
  const auto layout = bench.engine->cache_layout();
  ASSERT_TRUE(layout);
  EXPECT_EQ(layout->type, "F16");
  EXPECT_EQ(layout->n_blocks, 5);
  EXPECT_EQ(layout->bytes_of(layout->layers), 6u);
  const CachePart part{layout->layers, {BlockId(3), BlockId(1)}};
  const auto read = [&](const CachePart& what) {
    Result<std::vector<std::byte>> found = fail(ErrorCode::kInternal, "not called");
    bench.engine->read_cache(what, [&](auto bytes) { found = std::move(bytes); });
    EXPECT_TRUE(bench.clock.run_one());
    return found;
  };
  EXPECT_EQ(read(part).error().code, ErrorCode::kUnavailable) << "nothing has been computed";
  std::vector<std::byte> bytes;
  for (int i = 0; i < 12; ++i) bytes.push_back(std::byte(i));
  Status written = fail(ErrorCode::kInternal, "not called"), completed = written;
  bench.engine->write_cache(part, bytes, [&](Status status) { written = status; });
  EXPECT_TRUE(bench.clock.run_one());
  EXPECT_TRUE(written);
  EXPECT_FALSE(read(part)) << "written, but not said to be complete";
  bench.engine->complete_blocks({BlockId(3), BlockId(5)}, [&](Status status) { completed = status; });
  EXPECT_TRUE(bench.clock.run_one());
  EXPECT_EQ(completed.error().code, ErrorCode::kInvalidArgument);
  bench.engine->complete_blocks(part.blocks, [&](Status status) { completed = status; });
  EXPECT_TRUE(bench.clock.run_one());
  ASSERT_TRUE(completed);
  EXPECT_EQ(*read(part), bytes);
  EXPECT_FALSE(read({{LayerIndex(1), LayerIndex(3)}, {BlockId(3)}})) << "a layer of another stage";
  // A step may count on them now; when it writes to one that one is not full any more.
  EXPECT_TRUE(bench.run(tokens_step({sequence(0, 4, 2, {1, 3})})));
  EXPECT_TRUE(read({part.layers, {BlockId(1)}}));
  EXPECT_FALSE(read({part.layers, {BlockId(3)}}));
}

TEST(EngineThread, SharesOfAGroupAreNotCopied) {
  Bench bench(0, 2, std::make_unique<FakeGroup>(), 0);
  EXPECT_FALSE(bench.engine->cache_layout());
  Status written;
  bench.engine->write_cache({}, {}, [&](Status status) { written = status; });
  EXPECT_TRUE(bench.clock.run_one());
  EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace exo::ring
