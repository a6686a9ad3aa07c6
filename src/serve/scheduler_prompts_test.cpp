// How the scheduler divides steps among prompts and beside decodes (serve/testing/hash_ring.h).

#include "serve/testing/hash_ring.h"

namespace exo::serve {
namespace {

using namespace testing;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Seconds until a ring, over which a model is divided evenly, has answered: a stage takes a part of 4 ms for a step
// and of 1 ms for each of its rows.
double seconds_to_answer(int32_t n_stages, net::Duration hop_time, int n_requests, int32_t prompt,
                         int32_t max_new) {
  Ring ring(n_stages, config(4000, 16, 512, 4000));
  ring.stage_time_ = milliseconds(4) / n_stages;
  ring.row_time_ = std::chrono::microseconds(1000) / n_stages;
  ring.hop_time_ = hop_time;
  ring.scheduler_->set_link_s(std::chrono::duration<double>(n_stages * hop_time).count());
  std::mt19937 random(4);
  ring.submit(1000, random_tokens(random, 100), 20);  // the scheduler learns what steps take
  EXPECT_TRUE(ring.settle());
  const auto begin = ring.clock_.now();
  for (int i = 1; i <= n_requests; ++i)
    ring.submit(static_cast<uint64_t>(i), random_tokens(random, prompt), max_new);
  EXPECT_TRUE(ring.settle());
  for (int i = 1; i <= n_requests; ++i) {
    const auto id = static_cast<uint64_t>(i);
    EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, max_new));
  }
  return std::chrono::duration<double>(ring.clock_.now() - begin).count();
}

TEST(SchedulerPrompts, ChunksOfOnePromptKeepAllStagesBusy) {
  const double alone = seconds_to_answer(1, {}, 1, 2000, 1);
  EXPECT_LT(seconds_to_answer(2, {}, 1, 2000, 1), alone / 1.8);
  EXPECT_LT(seconds_to_answer(4, {}, 1, 2000, 1), alone / 3.1);
}

TEST(SchedulerPrompts, ChunksOfOnePromptFillSlowLinks) {
  const double alone = seconds_to_answer(1, {}, 1, 2000, 1);
  EXPECT_LT(seconds_to_answer(2, milliseconds(20), 1, 2000, 1), alone / 1.7);
  EXPECT_LT(seconds_to_answer(2, milliseconds(100), 1, 2000, 1), alone / 1.4);
}

TEST(SchedulerPrompts, ManyPromptsAreSharedOutInTime) {
  EXPECT_LT(seconds_to_answer(2, {}, 16, 60, 1), seconds_to_answer(1, {}, 16, 60, 1) / 1.6);
}

TEST(SchedulerPrompts, ManySequencesFillSlowLinks) {
  // Two micro-batches of eight would take 2 × 6 ms and 2 × 20 ms for sixteen tokens.
  const double of_two = 60 * 0.052;
  EXPECT_LT(seconds_to_answer(2, milliseconds(20), 16, 1, 60), 0.93 * of_two);
}

TEST(SchedulerPrompts, PrefillDoesNotStarveDecodes) {
  Ring ring(1, config(1000, 4, 64, 2000));
  std::mt19937 random(5);
  ring.submit(1, random_tokens(random, 4), 400);
  ring.clock_.run_until([&] { return ring.outcomes_[1].answer.size() >= 3; }, seconds(5));
  const size_t steps_before = ring.sent_.size();
  const size_t tokens_before = ring.outcomes_[1].answer.size();
  ring.submit(2, random_tokens(random, 1000), 4);
  ring.clock_.run_until([&] { return !ring.outcomes_[2].answer.empty(); }, seconds(50));
  const size_t steps = ring.sent_.size() - steps_before;
  EXPECT_GE(steps, 16u);
  EXPECT_GE(ring.outcomes_[1].answer.size() - tokens_before + 2, steps)
      << "every step carried the decoding sequence";
}

// A device that takes 10 ms for each row, and a scheduler that has learnt it.
std::unique_ptr<Ring> slow_device(std::mt19937& random) {
  auto ring = std::make_unique<Ring>(1, config(4000, 32, 512, 4000));
  ring->stage_time_ = milliseconds(20);
  ring->row_time_ = milliseconds(10);
  ring->submit(1000, random_tokens(random, 100), 2);
  EXPECT_TRUE(ring->settle());
  return ring;
}

double seconds_since(const Ring& ring, net::TimePoint begin) {
  return std::chrono::duration<double>(ring.clock_.now() - begin).count();
}

TEST(SchedulerPrompts, EqualPromptsEndOneAfterTheOther) {
  std::mt19937 random(7);
  const auto device = slow_device(random);
  Ring& ring = *device;
  for (uint64_t id = 1; id <= 16; ++id) ring.submit(id, random_tokens(random, 80), 20);
  const auto answering = [&](size_t wanted) {
    return std::ranges::count_if(ring.outcomes_, [](const auto& o) { return !o.second.answer.empty(); }) >=
           static_cast<ptrdiff_t>(wanted) + 1;  // and the one that the device learnt from
  };
  const auto begin = ring.clock_.now();
  ASSERT_TRUE(ring.clock_.run_until([&] { return answering(8); }, seconds(60)));
  const double half = seconds_since(ring, begin);
  ASSERT_TRUE(ring.clock_.run_until([&] { return answering(16); }, seconds(60)));
  EXPECT_LT(half, 0.6 * seconds_since(ring, begin));
  ASSERT_TRUE(ring.settle());
  for (uint64_t id = 1; id <= 16; ++id) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 20));
}

TEST(SchedulerPrompts, AShortPromptIsNotHeldUpByLongOnes) {
  std::mt19937 random(8);
  const auto device = slow_device(random);
  Ring& ring = *device;
  for (uint64_t id = 1; id <= 4; ++id) ring.submit(id, random_tokens(random, 2000), 1);
  ring.clock_.advance(seconds(3));
  ring.submit(5, random_tokens(random, 20), 1);
  const auto begin = ring.clock_.now();
  ASSERT_TRUE(ring.clock_.run_until([&] { return !ring.outcomes_[5].answer.empty(); }, seconds(60)));
  EXPECT_LT(seconds_since(ring, begin), 2.5) << "the chunk under way and one more";
}

TEST(SchedulerPrompts, ALongPromptGoesOnBesideAStreamOfShortOnes) {
  std::mt19937 random(9);
  const auto device = slow_device(random);
  Ring& ring = *device;
  ring.submit(1, random_tokens(random, 1000), 1);
  const double alone = 1000 * 0.01;
  uint64_t next = 2;
  const auto begin = ring.clock_.now();
  while (ring.outcomes_[1].answer.empty() && ring.clock_.now() - begin < seconds(200)) {
    while (ring.scheduler_->statistics().running < 8) ring.submit(next++, random_tokens(random, 60), 1);
    ring.clock_.advance(milliseconds(50));
  }
  EXPECT_FALSE(ring.outcomes_[1].answer.empty());
  EXPECT_LT(seconds_since(ring, begin), 5 * alone);
  EXPECT_GT(next, 40u) << "others were served meanwhile";
}

TEST(SchedulerPrompts, ChunksAreSmallWhileThePreviousRingAnswers) {
  std::mt19937 random(10);
  const auto device = slow_device(random);
  Ring& ring = *device;
  const auto most_rows = [&](uint64_t id) {
    const size_t before = ring.sent_.size();
    ring.submit(id, random_tokens(random, 300), 1);
    EXPECT_TRUE(ring.settle());
    EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 1));
    size_t most = 0;
    for (size_t i = before; i < ring.sent_.size(); ++i) most = std::max(most, ring.sent_[i].tokens.size());
    return most;
  };
  const size_t alone = most_rows(1);
  ring.scheduler_->set_previous_serves(true);
  EXPECT_LE(most_rows(2), 16u) << "a tenth of a second is ten rows here, and the least chunk is larger";
  ring.scheduler_->set_previous_serves(false);
  EXPECT_GE(std::min(alone, most_rows(3)), 32u);
}

}  // namespace
}  // namespace exo::serve
