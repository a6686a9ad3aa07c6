#include "ring/draft_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "ring/testing/hash_executor.h"

namespace exo::ring {
namespace {

using testing::extend_hash;
using testing::kHashVocabulary;
using testing::next_hash_token;
using testing::oracle_answer;

// Runs what is posted when the test's thread says so.
class PostedClock final : public net::Clock {
 public:
  net::TimePoint now() const override { return {}; }
  net::Duration stopped() const override { return {}; }
  net::SteadyPoint steady_now() const override { return {}; }
  net::TimerId run_after(net::Duration, std::function<void()>) override { return 0; }
  void cancel(net::TimerId) override {}
  void post(std::function<void()> callback) override {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(callback));
    ready_.notify_all();
  }
  bool run_one(std::chrono::milliseconds at_most = std::chrono::seconds(10)) {
    std::unique_lock lock(mutex_);
    if (!ready_.wait_for(lock, at_most, [this] { return !posted_.empty(); })) return false;
    auto callback = std::move(posted_.front());
    posted_.erase(posted_.begin());
    lock.unlock();
    callback();
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::vector<std::function<void()>> posted_;
};

// Remembers tokens in its cache, block by block. The logits favour a hash of all tokens that the block table leads
// to.
class HashStage final : public model::Stage {
 public:
  explicit HashStage(int32_t n_blocks, uint64_t state_bytes = 0, int32_t last_layer = 2) {
    info_ = {.architecture = "hash", .name = "hashes", .n_layers = 2, .n_vocab = kHashVocabulary};
    info_.state_bytes = {0, state_bytes};
    config_ = {.layers = {LayerIndex(0), LayerIndex(last_layer)}, .max_batch_rows = 24, .block_positions = 4};
    config_.n_blocks = n_blocks;
    cells_.assign(static_cast<size_t>(n_blocks) * 4, -1);
  }
  Result<std::span<const float>> forward(const model::StepInput& input) override {
    out_.clear();
    size_t row = 0;
    ++passes;
    most_sequences = std::max(most_sequences.load(), static_cast<int>(input.sequences.size()));
    for (const auto& sequence : input.sequences) {
      const auto cell = [&](int32_t position) -> int32_t& {
        return cells_[sequence.block_table[static_cast<size_t>(position / 4)].value * size_t{4} +
                      static_cast<size_t>(position % 4)];
      };
      for (int32_t i = 0; i < sequence.n_tokens; ++i) cell(sequence.first.value + i) = input.tokens[row++].value;
      if (!sequence.wants_logits) continue;
      uint64_t hash = 0;
      const int32_t end = sequence.first.value + sequence.n_tokens;
      for (int32_t position = 0; position < end; ++position) hash = extend_hash(hash, TokenId(cell(position)));
      const size_t begin = out_.size();
      out_.resize(begin + kHashVocabulary, 0.0f);
      out_[begin + static_cast<size_t>(next_hash_token(hash, 0, end).value)] = 9.0f;
    }
    rows += static_cast<int>(row);
    if (throws) throw std::bad_alloc();
    if (fails) return fail(ErrorCode::kInternal, "broken");
    return std::span<const float>(out_);
  }
  Result<std::span<const float>> forward_all_logits(const model::StepInput& input) override {
    return forward(input);
  }
  uint64_t cache_block_bytes(LayerIndex) const override { return 0; }
  Status read_cache(LayerRange, std::span<const BlockId>, std::span<std::byte>) const override {
    return fail(ErrorCode::kUnsupported, "not here");
  }
  Status write_cache(LayerRange, std::span<const BlockId>, std::span<const std::byte>) override {
    return fail(ErrorCode::kUnsupported, "not here");
  }
  const model::ModelInfo& model() const override { return info_; }
  const model::StageConfig& config() const override { return config_; }
  uint64_t weight_bytes() const override { return 0; }
  uint64_t kv_bytes() const override { return 0; }

  std::atomic<int> passes = 0, rows = 0, most_sequences = 0;
  std::atomic<bool> fails = false, throws = false;

 private:
  model::ModelInfo info_;
  model::StageConfig config_;
  std::vector<int32_t> cells_;
  std::vector<float> out_;
};

struct Sink final : DraftSink {
  void on_guesses(uint64_t sequence, uint64_t version, std::span<const TokenId> guesses,
                  DraftState state) override {
    auto& got = by_version[{sequence, version}];
    got.guesses.insert(got.guesses.end(), guesses.begin(), guesses.end());
    EXPECT_TRUE(got.state == DraftState::kGoesOn) << "more after the last";
    got.state = state;
  }
  struct Got {
    std::vector<TokenId> guesses;
    DraftState state = DraftState::kGoesOn;
  };
  std::map<std::pair<uint64_t, uint64_t>, Got> by_version;
};

std::vector<TokenId> tokens_from(int32_t first, int32_t count) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.emplace_back((first + i * 7) % kHashVocabulary);
  return tokens;
}

struct Bench {
  explicit Bench(int32_t n_blocks = 64, int32_t n_vocab = kHashVocabulary) {
    auto owned = std::make_unique<HashStage>(n_blocks);
    stage = owned.get();
    auto started = DraftEngine::start(clock, std::move(owned), gate);
    EXPECT_TRUE(started);
    engine = std::move(*started);
    drafter = engine->make_drafter(sink, n_vocab);
    stage->rows = 0;
    stage->passes = 0;
  }
  static DraftOrder order(uint64_t sequence, uint64_t version, std::vector<TokenId> tokens, int32_t count) {
    DraftOrder order{.sequence = sequence, .version = version, .tokens = std::move(tokens), .count = count};
    order.sampler.temperature = 0;
    return order;
  }
  Sink::Got wait(uint64_t sequence, uint64_t version) {
    const std::pair key{sequence, version};
    while (!sink.by_version.contains(key) || sink.by_version[key].state == DraftState::kGoesOn) {
      if (!clock.run_one()) {
        ADD_FAILURE() << "no answer to version " << version;
        break;
      }
    }
    return sink.by_version[key];
  }
  Sink::Got ask(uint64_t sequence, uint64_t version, std::vector<TokenId> tokens, int32_t count) {
    drafter->propose(order(sequence, version, std::move(tokens), count));
    return wait(sequence, version);
  }

  PostedClock clock;
  IdleGate gate;
  Sink sink;
  HashStage* stage;
  std::unique_ptr<DraftEngine> engine;
  std::unique_ptr<Drafter> drafter;
};

std::vector<TokenId> operator+(std::vector<TokenId> a, std::span<const TokenId> b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(DraftEngine, GuessesWhatTheModelWouldSay) {
  Bench bench;
  EXPECT_GT(bench.drafter->guess_s(), 0);
  const auto prompt = tokens_from(3, 70);  // several chunks
  const auto got = bench.ask(1, 1, prompt, 5);
  EXPECT_EQ(got.state, DraftState::kDone);
  EXPECT_EQ(got.guesses, oracle_answer(prompt, 5, 0, {}));
  EXPECT_EQ(bench.stage->rows, 70 + 4);
}

TEST(DraftEngine, FollowsRightGuessesWithoutComputingThemAgain) {
  Bench bench;
  auto text = tokens_from(3, 20);
  const auto first = bench.ask(1, 1, text, 6).guesses;
  const int rows = bench.stage->rows;
  text = text + std::span(first).first(3);
  EXPECT_EQ(bench.ask(1, 2, text, 3).guesses, std::vector(first.begin() + 3, first.end()));
  EXPECT_EQ(bench.stage->rows, rows) << "all of it was there";
  EXPECT_EQ(bench.ask(1, 3, text, 5).guesses, oracle_answer(text, 5, 0, {}));
  EXPECT_EQ(bench.stage->rows, rows + 2);
}

TEST(DraftEngine, OverwritesWrongGuesses) {
  Bench bench;
  auto text = tokens_from(3, 20);
  for (uint64_t version = 1; version < 30; ++version) {
    const auto guesses = bench.ask(1, version, text, 4).guesses;
    EXPECT_EQ(guesses, oracle_answer(text, 4, 0, {}));
    text = text + std::span(guesses).first(version % 4);
    text.emplace_back(static_cast<int32_t>(version * 13 % kHashVocabulary));
  }
}

TEST(DraftEngine, ReadsAheadOfTheFirstGuess) {
  Bench bench;
  const auto prompt = tokens_from(5, 50);
  EXPECT_EQ(bench.ask(1, 1, prompt, 0).state, DraftState::kDone);
  EXPECT_EQ(bench.stage->rows, 49);
  EXPECT_EQ(bench.ask(1, 2, prompt, 1).guesses, oracle_answer(prompt, 1, 0, {}));
  EXPECT_EQ(bench.stage->rows, 50);
}

TEST(DraftEngine, SequencesAndSchedulersShareAPass) {
  Bench bench;
  Sink other_sink;
  const auto other = bench.engine->make_drafter(other_sink, kHashVocabulary);
  std::optional busy = bench.gate.enter();
  for (uint64_t sequence = 1; sequence <= 3; ++sequence)
    bench.drafter->propose(Bench::order(sequence, 1, tokens_from(static_cast<int32_t>(sequence), 6), 4));
  other->propose(Bench::order(1, 1, tokens_from(60, 6), 4));
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_EQ(bench.stage->passes, 0) << "the device is busy";
  busy.reset();
  for (uint64_t sequence = 1; sequence <= 3; ++sequence)
    EXPECT_EQ(bench.wait(sequence, 1).guesses,
              oracle_answer(tokens_from(static_cast<int32_t>(sequence), 6), 4, 0, {}));
  while (other_sink.by_version[{1, 1}].state == DraftState::kGoesOn) ASSERT_TRUE(bench.clock.run_one());
  EXPECT_EQ((other_sink.by_version[{1, 1}].guesses), oracle_answer(tokens_from(60, 6), 4, 0, {}));
  EXPECT_EQ(bench.stage->passes, 4);
  EXPECT_EQ(bench.stage->most_sequences, 4);
}

TEST(DraftEngine, SaysWhatItCannotFollow) {
  Bench bench(8);  // 32 positions
  EXPECT_EQ(bench.ask(1, 1, tokens_from(1, 40), 3).state, DraftState::kCannot);
  const auto short_of_room = bench.ask(2, 1, tokens_from(1, 30), 8);
  EXPECT_EQ(short_of_room.state, DraftState::kDone);
  EXPECT_EQ(short_of_room.guesses, oracle_answer(tokens_from(1, 30), 2, 0, {}));
  auto unknown = tokens_from(1, 10);
  unknown[4] = TokenId(kHashVocabulary);
  EXPECT_EQ(bench.ask(3, 1, unknown, 3).state, DraftState::kCannot);
  EXPECT_EQ(bench.ask(3, 2, {}, 3).state, DraftState::kCannot);
  EXPECT_EQ(bench.ask(3, 3, tokens_from(1, 10), 3).guesses, oracle_answer(tokens_from(1, 10), 3, 0, {}));
  bench.stage->fails = true;
  EXPECT_EQ(bench.ask(3, 4, tokens_from(2, 10), 3).state, DraftState::kCannot);
  bench.stage->fails = false;
  bench.stage->throws = true;
  EXPECT_EQ(bench.ask(4, 1, tokens_from(3, 10), 3).state, DraftState::kCannot);
  bench.stage->throws = false;
  EXPECT_EQ(bench.ask(3, 5, tokens_from(2, 10), 3).guesses, oracle_answer(tokens_from(2, 10), 3, 0, {}));
}

TEST(DraftEngine, ManySequencesInLittleRoom) {
  Bench bench(12);
  std::map<uint64_t, std::vector<TokenId>> texts;
  for (uint64_t version = 1; version < 60; ++version) {
    const uint64_t sequence = version * version % 5;
    auto& text = texts[sequence];
    if (text.empty() || text.size() > 30) text = tokens_from(static_cast<int32_t>(sequence), 9);
    const auto got = bench.ask(sequence, version, text, 3);
    ASSERT_EQ(got.guesses, oracle_answer(text, 3, 0, {})) << version;
    text = text + got.guesses;
    if (version % 11 == 0) bench.drafter->forget(sequence);
  }
}

TEST(DraftEngine, TheNextTurnOfAConversationIsNotReadFromItsStart) {
  Bench bench;
  auto text = tokens_from(3, 60);
  bench.ask(1, 1, text, 1);
  bench.drafter->forget(1);
  const int rows = bench.stage->rows;
  text = text + tokens_from(50, 10);
  EXPECT_EQ(bench.ask(2, 1, text, 1).guesses, oracle_answer(text, 1, 0, {}));
  EXPECT_EQ(bench.stage->rows, rows + 10);
}

TEST(DraftEngine, GuessesStayBelowTheTargetsVocabulary) {
  Bench bench(64, 10);
  for (uint64_t version = 1; version < 10; ++version)
    for (const TokenId guess : bench.ask(1, version, tokens_from(static_cast<int32_t>(version), 6), 4).guesses)
      EXPECT_LT(guess.value, 10);
}

TEST(DraftEngine, OnlyWholeModelsThatCanTakeGuessesBack) {
  PostedClock clock;
  const auto recurrent = DraftEngine::start(clock, std::make_unique<HashStage>(8, 64), {});
  ASSERT_FALSE(recurrent);
  EXPECT_EQ(recurrent.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(recurrent.error().message.find("hashes (hash)"), std::string::npos);
  EXPECT_FALSE(DraftEngine::start(clock, std::make_unique<HashStage>(8, 0, 1), {}));
}

TEST(DraftEngine, EndsInAnyOrder) {
  {
    Bench bench;
    bench.drafter->propose(Bench::order(1, 1, tokens_from(1, 60), 16));
    bench.engine.reset();
    bench.drafter->propose(Bench::order(1, 2, tokens_from(1, 60), 16));
    bench.drafter->forget(1);
  }
  Bench bench;
  bench.drafter->propose(Bench::order(1, 1, tokens_from(1, 60), 16));
  bench.drafter.reset();
  const auto drafter = bench.engine->make_drafter(bench.sink, kHashVocabulary);
  drafter->propose(Bench::order(9, 1, tokens_from(1, 20), 1));
  bench.wait(9, 1);
  EXPECT_FALSE(bench.sink.by_version.contains({1, 1})) << "nobody is told what nobody asks for any more";
}

}  // namespace
}  // namespace exo::ring
