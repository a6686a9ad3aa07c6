// The scheduler against stages whose answer is a hash of everything they were told (ring/testing/hash_executor.h).

#include "serve/testing/hash_ring.h"

namespace exo::serve {
namespace {

using namespace testing;
using ring::testing::kHashVocabulary;
using ring::testing::oracle_answer;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Scheduler, AnswersAsTheOracle) {
  for (const int32_t n_stages : {1, 2, 4}) {
    Ring ring(n_stages, config(100, 4));
    std::mt19937 random(1);
    ring.submit(1, random_tokens(random, 21), 30);
    ASSERT_TRUE(ring.settle());
    EXPECT_EQ(ring.outcomes_[1].answer, ring.oracle(1, 30));
    EXPECT_EQ(ring.outcomes_[1].finish, wire::FinishReason::kLength);
    ring.expect_all_free();
  }
}

TEST(Scheduler, GuessesSaveTripsAndChangeNothing) {
  for (const int32_t n_stages : {1, 3}) {
    size_t steps[2];
    for (const int32_t most : {0, 8}) {
      auto settings = config(200, 4);
      settings.max_draft_tokens = most;
      Ring ring(n_stages, settings);
      std::mt19937 random(1);
      ring.submit(1000, random_tokens(random, 21), 150);
      ASSERT_TRUE(ring.settle());
      EXPECT_EQ(ring.outcomes_[1000].answer, ring.oracle(1000, 150));
      EXPECT_EQ(ring.outcomes_[1000].finish, wire::FinishReason::kLength);
      ring.expect_all_free();
      steps[most != 0] = ring.sent_.size();
      const auto statistics = ring.scheduler_->statistics();
      EXPECT_EQ(statistics.generated_tokens, 150u);
      EXPECT_EQ(statistics.accepted_tokens() > 0, most != 0);
      EXPECT_EQ(statistics.accepted_tokens(), ring.log_.right_guesses);
    }
    EXPECT_LT(2 * steps[1], steps[0]);
  }
}

TEST(Scheduler, GuessesStopAtAStopToken) {
  Ring ring(2, config(100, 4));
  std::mt19937 random(2);
  const auto prompt = random_tokens(random, 8);
  const auto whole = oracle_answer(prompt, 80, Ring::seed_of(1000), {});
  // A token that comes late for the first time: between the repetitions.
  TokenId stop = whole[15];
  for (size_t i = 0; i < whole.size(); ++i)
    if (std::find(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(i), whole[i]) ==
        whole.begin() + static_cast<ptrdiff_t>(i))
      stop = whole[i];
  ring.submit(1000, prompt, 80, {stop});
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[1000].answer, ring.oracle(1000, 80, {stop}));
  EXPECT_EQ(ring.outcomes_[1000].finish, wire::FinishReason::kStop);
  ring.expect_all_free();
}

TEST(Scheduler, GuessesAndPreemptionsGoTogether) {
  for (const int32_t n_stages : {1, 3}) {
    Ring ring(n_stages, config(22, 6, 16, 80));
    std::mt19937 random(7);
    for (uint64_t id = 1000; id < 1006; ++id) ring.submit(id, random_tokens(random, 6), 54);
    ASSERT_TRUE(ring.settle());
    EXPECT_GT(ring.scheduler_->statistics().preemptions, 0u);
    EXPECT_GT(ring.scheduler_->statistics().accepted_tokens(), 0u);
    for (uint64_t id = 1000; id < 1006; ++id) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 54)) << id;
    ring.expect_all_free();
  }
}

TEST(Scheduler, StopTokenEndsTheAnswerAndIsNotPartOfIt) {
  Ring ring(2, config(100, 4));
  std::mt19937 random(2);
  ring.submit(1, random_tokens(random, 5), 50);
  ASSERT_TRUE(ring.settle());
  const TokenId stop = ring.outcomes_[1].answer[10];
  ring.prompts_[3] = ring.prompts_[1];
  wire::SubmitRequest request{.request = {0, 3}};
  request.tokens = ring.prompts_[1];
  request.prompt_tokens = 5;
  request.max_new_tokens = 50;
  request.stop_tokens = {stop};
  request.sampler.seed = 3;
  ring.scheduler_->submit(node(77), request);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[3].finish, wire::FinishReason::kStop);
  EXPECT_EQ(ring.outcomes_[3].answer, oracle_answer(ring.prompts_[1], 50, 3, {stop}));
  EXPECT_LE(ring.outcomes_[3].answer.size(), 10u);
}

TEST(Scheduler, FillsThePipeline) {
  Ring ring(4, config(400, 8));
  std::mt19937 random(3);
  for (uint64_t id = 1; id <= 8; ++id) ring.submit(id, random_tokens(random, 9), 100);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.most_at_once_, 4u);
  // Eight sequences on four stages: about 100 rounds of four micro-batches, 2 ms per stage.
  for (uint64_t id = 1; id <= 8; ++id) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 100));
  EXPECT_LT(ring.sent_.size(), 500u);
  ring.expect_all_free();
}

TEST(Scheduler, QueueIsFirstComeFirstServedWithPositions) {
  auto settings = config(100, 1);
  settings.queue_limit = 2;
  Ring ring(1, settings);
  std::mt19937 random(6);
  for (uint64_t id = 1; id <= 4; ++id) ring.submit(id, random_tokens(random, 4), 10);
  EXPECT_EQ(ring.outcomes_[2].queue_position, 1);
  EXPECT_EQ(ring.outcomes_[3].queue_position, 2);
  EXPECT_EQ(ring.outcomes_[4].finish, wire::FinishReason::kError);
  EXPECT_EQ(ring.outcomes_[4].error_code, ErrorCode::kResourceExhausted);
  ring.clock_.run_until([&] { return ring.outcomes_[1].finish != wire::FinishReason::kNone; }, seconds(5));
  EXPECT_EQ(ring.outcomes_[3].queue_position, 1);
  EXPECT_TRUE(ring.outcomes_[3].answer.empty());
  ASSERT_TRUE(ring.settle());
  ring.expect_all_free();
}

TEST(Scheduler, PreemptionLosesAndRepeatsNothing) {
  for (const int32_t n_stages : {1, 3}) {
    Ring ring(n_stages, config(22, 6, 16, 80));  // 88 positions; four sequences want up to 240
    std::mt19937 random(7);
    for (uint64_t id = 1; id <= 6; ++id) ring.submit(id, random_tokens(random, 6), 54);
    ASSERT_TRUE(ring.settle());
    EXPECT_GT(ring.scheduler_->statistics().preemptions, 0u);
    for (uint64_t id = 1; id <= 6; ++id) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 54)) << id;
    ring.expect_all_free();
  }
}

TEST(Scheduler, ContextEndsTheAnswer) {
  Ring ring(1, config(100, 2, 64, 40));
  std::mt19937 random(8);
  ring.submit(1, random_tokens(random, 30), 1000);
  ring.submit(2, random_tokens(random, 40), 5);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[1].finish, wire::FinishReason::kLength);
  EXPECT_EQ(ring.outcomes_[1].answer, ring.oracle(1, 10));
  EXPECT_EQ(ring.outcomes_[2].error_code, ErrorCode::kInvalidArgument);
  EXPECT_NE(ring.outcomes_[2].error.find("40"), std::string::npos);
}

TEST(Scheduler, SecondTurnComputesOnlyNewText) {
  Ring ring(2, config(200, 4));
  std::mt19937 random(9);
  ring.submit(1, random_tokens(random, 50), 20);
  ASSERT_TRUE(ring.settle());
  auto second = ring.prompts_[1];
  const auto& answer = ring.outcomes_[1].answer;
  second.insert(second.end(), answer.begin(), answer.end());
  for (const TokenId token : random_tokens(random, 8)) second.push_back(token);
  const uint64_t rows = ring.log_.rows;
  ring.submit(2, second, 5);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[2].answer, ring.oracle(2, 5));
  EXPECT_EQ(ring.outcomes_[2].cached, 68);                      // 69 of 70 positions were computed: 17 blocks
  EXPECT_EQ((ring.log_.rows - rows) / 2, 78u - 68u + 5u - 1u);  // new text and the answer, on each of two stages
  ring.submit(3, second, 5);                                    // the very same prompt: one token at least
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[3].answer, ring.oracle(3, 5));
  EXPECT_EQ(ring.outcomes_[3].cached, 76);
  ring.expect_all_free();
}

TEST(Scheduler, CancelFreesAtOnce) {
  Ring ring(2, config(40, 1));
  std::mt19937 random(10);
  ring.submit(1, random_tokens(random, 30), 100);
  ring.submit(2, random_tokens(random, 8), 5);
  ring.clock_.advance(milliseconds(9));
  ring.scheduler_->cancel(node(5), {0, 1});  // not its front
  EXPECT_EQ(ring.scheduler_->statistics().waiting, 1u);
  ring.scheduler_->cancel(node(77), {0, 1});
  EXPECT_EQ(ring.scheduler_->statistics().waiting, 0u);  // the next one has the slot
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[2].answer, ring.oracle(2, 5));
  ring.expect_all_free();
}

TEST(Scheduler, LostStepsAreReplayed) {
  Ring ring(3, config(200, 4));
  std::mt19937 random(11);
  for (uint64_t id = 1; id <= 4; ++id) ring.submit(id, random_tokens(random, 20), 40);
  for (int round = 0; round < 5; ++round) {
    ring.clock_.advance(milliseconds(60));
    ring.swallow_ = 1 + round % 3;
    ring.clock_.advance(milliseconds(10));
    ring.swallow_ = 0;
    ring.scheduler_->on_link(node(2), false);
    ring.clock_.advance(milliseconds(5));
    ring.scheduler_->on_link(node(2), true);
  }
  ASSERT_TRUE(ring.settle());
  for (uint64_t id = 1; id <= 4; ++id) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 40)) << id;
  EXPECT_GT(ring.scheduler_->statistics().replays, 0u);
  ring.expect_all_free();
}

TEST(Scheduler, AStepThatFailsIsBlamedOnOneSequenceOnly) {
  Ring ring(2, config(200, 4));
  std::mt19937 random(12);
  ring.poison_ = TokenId(96);
  for (uint64_t id = 1; id <= 4; ++id) {
    auto prompt = random_tokens(random, 6);
    for (auto& token : prompt) token = TokenId(token.value % 90);
    if (id == 2) prompt[3] = TokenId(96);
    ring.submit(id, prompt, 3);
  }
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[2].finish, wire::FinishReason::kError);
  EXPECT_EQ(ring.outcomes_[2].error, "poison");
  for (const uint64_t id : {1, 3, 4}) {
    // Unless the answer itself contains the poison, the others are well.
    const auto oracle = ring.oracle(id, 3);
    if (std::ranges::find(oracle, TokenId(96)) == oracle.end()) {
      EXPECT_EQ(ring.outcomes_[id].answer, oracle) << id;
    }
  }
  ring.expect_all_free();
}

TEST(Scheduler, SilenceAndMissingLinksEndInErrors) {
  auto settings = config(200, 4);
  settings.step_deadline = seconds(30);
  Ring ring(2, settings);
  std::mt19937 random(13);
  ring.swallow_ = 1;
  ring.submit(1, random_tokens(random, 6), 3);
  ring.clock_.advance(seconds(29));
  EXPECT_EQ(ring.outcomes_[1].finish, wire::FinishReason::kNone);
  ring.clock_.advance(seconds(4));
  EXPECT_EQ(ring.outcomes_[1].error_code, ErrorCode::kDeadlineExceeded);
  ring.scheduler_->on_link(node(2), false);
  ring.submit(2, random_tokens(random, 6), 3);
  ring.clock_.advance(seconds(33));
  EXPECT_EQ(ring.outcomes_[2].error_code, ErrorCode::kUnavailable);
  ring.scheduler_->on_link(node(2), true);
  ring.submit(3, random_tokens(random, 6), 3);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[3].answer, ring.oracle(3, 3));
  ring.expect_all_free();
}

TEST(Scheduler, ForgedAnswersAreIgnored) {
  Ring ring(1, config(50, 2));
  std::mt19937 random(14);
  ring.submit(1, random_tokens(random, 6), 20);
  ring.clock_.advance(milliseconds(7));
  ring.scheduler_->on_step_result({"", {}, MicroBatchId(0), {}});
  ring.scheduler_->on_step_result({"", {}, MicroBatchId(999), {}});
  ring.scheduler_->on_step_failed({"", {}, MicroBatchId(999), ErrorCode::kInternal, "x"});
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[1].answer, ring.oracle(1, 20));
}

TEST(Scheduler, SubmittingAgainAsksForStatusOrReplaces) {
  Ring ring(1, config(50, 2));
  std::mt19937 random(15);
  const auto prompt = random_tokens(random, 6);
  ring.submit(1, prompt, 20);
  const size_t updates = ring.outcomes_[1].updates;
  ring.submit(1, prompt, 20);  // nothing was generated yet: the same tokens
  EXPECT_EQ(ring.outcomes_[1].updates, updates + 1);
  ASSERT_TRUE(ring.settle());
  EXPECT_EQ(ring.outcomes_[1].answer, ring.oracle(1, 20));
  ring.expect_all_free();
}

// Random loads on a pool that is too small, with losses: the oracle holds for whoever is not cancelled.
TEST(Scheduler, StatesOfSequencesAreNeverContinuedWrongly) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto n_stages = static_cast<int32_t>(1 + random() % 3);
    auto limits = config(static_cast<int32_t>(16 + random() % 12), 5, static_cast<int32_t>(4 + random() % 20), 60);
    limits.keeps_state = true;
    Ring ring(n_stages, limits);
    const auto shared_prefix = random_tokens(random, 12);  // whole blocks of it would be found again
    for (uint64_t id = 1000; id < 1010; ++id) {
      auto prompt = shared_prefix;
      prompt.push_back(TokenId(static_cast<int32_t>(id % kHashVocabulary)));
      ring.submit(id, prompt, 40);
      ring.clock_.advance(milliseconds(random() % 40));
      if (n_stages > 1 && random() % 4 == 0) {  // everything in flight is replayed
        ring.scheduler_->on_link(node(2), false);
        ring.scheduler_->on_link(node(2), true);
      }
    }
    ASSERT_TRUE(ring.settle());
    for (uint64_t id = 1000; id < 1010; ++id) {
      ASSERT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 40)) << id << ring.outcomes_[id].error;
      EXPECT_EQ(ring.outcomes_[id].cached, 0);
    }
    EXPECT_GT(ring.scheduler_->statistics().preemptions, 0u);
    EXPECT_EQ(ring.scheduler_->statistics().drafted_tokens(), 0u);
    ring.expect_all_free();
  }
}

TEST(Scheduler, RandomLoads) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto n_stages = static_cast<int32_t>(1 + random() % 4);
    Ring ring(n_stages, config(static_cast<int32_t>(14 + random() % 40), static_cast<int32_t>(1 + random() % 6),
                               static_cast<int32_t>(4 + random() % 40), 56));
    std::map<uint64_t, int32_t> asked;
    std::set<uint64_t> cancelled;
    const auto shared_prefix = random_tokens(random, 12);
    for (uint64_t id = 1; id <= 20; ++id) {
      auto prompt = random() % 2 ? shared_prefix : std::vector<TokenId>{};
      for (const TokenId token : random_tokens(random, static_cast<int32_t>(1 + random() % 20)))
        prompt.push_back(token);
      asked[id] = static_cast<int32_t>(1 + random() % 22);
      ring.submit(id, prompt, asked[id]);
      ring.clock_.advance(milliseconds(random() % 30));
      if (random() % 8 == 0) {
        const uint64_t victim = 1 + random() % id;
        ring.scheduler_->cancel(node(77), {0, victim});
        cancelled.insert(victim);
      }
      if (n_stages > 1 && random() % 6 == 0) {
        ring.swallow_ = static_cast<int>(random() % 3);
        ring.clock_.advance(milliseconds(random() % 8));
        ring.swallow_ = 0;
        ring.scheduler_->on_link(node(2), false);
        ring.scheduler_->on_link(node(2), true);
      }
    }
    ASSERT_TRUE(ring.settle());
    for (const auto& [id, max_new] : asked) {
      if (cancelled.contains(id)) continue;
      ASSERT_EQ(ring.outcomes_[id].finish, wire::FinishReason::kLength) << id << ring.outcomes_[id].error;
      ASSERT_EQ(ring.outcomes_[id].answer, ring.oracle(id, max_new)) << id;
    }
    ring.expect_all_free();
  }
}

}  // namespace
}  // namespace exo::serve
