// Steps ahead of answers: the same tokens, much sooner where a text repeats itself, no later where it does not, and
// nobody else is held up.

#include "ring/testing/oracle_drafter.h"
#include "serve/testing/hash_ring.h"

namespace exo::serve {
namespace {

using namespace testing;

constexpr int32_t kTokens = 20 * 23;  // an answer that repeats itself is odd at every 23rd position

struct Stream {
  int32_t n_stages = 3;
  milliseconds hop{0};
  net::Duration row{};
  std::set<uint64_t> ids = {1000};
};

struct Ran {
  double seconds = 0;  // until all were answered
  SchedulerStatistics statistics;
  HashLog log;
  std::vector<wire::Step> steps;
};

Ran run(const Stream& stream, int32_t max_draft_tokens = 16) {
  auto settings = config(600, 4, 64, 600);
  settings.max_draft_tokens = max_draft_tokens;
  Ring ring(stream.n_stages, settings);
  ring.stage_time_ = milliseconds(20);
  ring.row_time_ = stream.row;
  ring.hop_time_ = stream.hop;
  ring.scheduler_->set_link_s(std::chrono::duration<double>(stream.hop).count() * stream.n_stages);
  std::mt19937 random(1);
  const auto begin = ring.clock_.now();
  for (const uint64_t id : stream.ids) ring.submit(id, random_tokens(random, 12), kTokens);
  EXPECT_TRUE(ring.settle());
  const double seconds = std::chrono::duration<double>(ring.clock_.now() - begin).count();
  for (const uint64_t id : stream.ids) EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, kTokens)) << id;
  ring.expect_all_free();
  return {seconds, ring.scheduler_->statistics(), ring.log_, ring.sent_};
}

size_t steps_ahead(const Ran& ran) {
  return static_cast<size_t>(std::ranges::count_if(ran.steps, [](const wire::Step& step) {
    return !step.sequences.empty() && step.sequences.front().is_ahead();
  }));
}

// The seconds that as many steps would take which wait for each other.
double one_after_the_other_s(const Ran& ran, const Stream& stream) {
  double seconds = 0;
  for (const wire::Step& step : ran.steps) {
    int64_t rows = 0;
    bool ahead = false;
    for (const auto& sequence : step.sequences) {
      rows += sequence.n_tokens;
      ahead |= sequence.is_ahead();
    }
    const auto stage_s = std::chrono::duration<double>(milliseconds(20) + rows * stream.row + stream.hop).count();
    if (rows > 0 && !ahead) seconds += stream.n_stages * stage_s;
  }
  return seconds;
}

TEST(SchedulerAhead, AnswersComeSoonerThanTripsTake) {
  for (const int32_t n_stages : {2, 4})
    for (const int hop : {0, 20}) {
      SCOPED_TRACE(fmt::format("{} stages, {} ms", n_stages, hop));
      const Stream stream{.n_stages = n_stages, .hop = milliseconds(hop)};
      const Ran ran = run(stream);
      EXPECT_GT(steps_ahead(ran), 10u);
      EXPECT_GT(steps_ahead(ran), ran.log.void_parts) << "some go on";
      EXPECT_GT(ran.log.void_parts, 0u) << "and some do not";
      EXPECT_EQ(ran.statistics.accepted_tokens(), ran.log.right_guesses);
      // What was sent ahead and was right costs a step's time, not a trip's; what was wrong costs nothing.
      const auto right = static_cast<double>(steps_ahead(ran) - ran.log.void_parts);
      const double trips_s = one_after_the_other_s(ran, stream);
      EXPECT_LT(ran.seconds, trips_s + (right + 1) * 1.5 * 0.020);
      EXPECT_GE(ran.seconds, trips_s);
    }
}

TEST(SchedulerAhead, NothingIsSentWhereItCannotPay) {
  EXPECT_EQ(steps_ahead(run({.n_stages = 1})), 0u) << "one stage is never idle";
  EXPECT_EQ(steps_ahead(run({.n_stages = 3, .ids = {1}})), 0u) << "nothing is known to follow";
  EXPECT_EQ(steps_ahead(run({.n_stages = 3}, 0)), 0u) << "speculation is off";
}

TEST(SchedulerAhead, OthersHaveTheTimeToThemselves) {
  const Ran both = run({.n_stages = 3, .ids = {1000, 1001}});
  size_t together = 0;
  for (const wire::Step& step : both.steps) together += step.sequences.size() > 1;
  EXPECT_LT(steps_ahead(both), 10u) << "only while one of them has already been answered";
  EXPECT_LT(both.seconds, 1.15 * run({.n_stages = 3}).seconds);
}

// Whatever is wrong with guesses, losses and cancelled requests at any moment: the answers stay right, and nothing
// is kept.
TEST(SchedulerAhead, StepsOnTheirWayAreForgottenWithTheirRequest) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto n_stages = static_cast<int32_t>(2 + random() % 3);
    Ring ring(n_stages, config(static_cast<int32_t>(24 + random() % 40), static_cast<int32_t>(1 + random() % 3),
                               static_cast<int32_t>(6 + random() % 30), 90));
    ring.hop_time_ = milliseconds(random() % 10);
    ring::testing::DraftLog drafts;
    if (random() % 2 == 0)
      ring.scheduler_->set_drafter(std::make_unique<ring::testing::OracleDrafter>(
          ring.clock_, *ring.scheduler_, drafts, ring::testing::OracleDrafterOptions{.right = 0.9, .seed = seed}));
    std::set<uint64_t> cancelled;
    std::map<uint64_t, std::vector<TokenId>> stops;
    for (uint64_t id = 1000; id < 1012; ++id) {
      if (random() % 3 == 0) stops[id] = random_tokens(random, 2);
      ring.submit(id, random_tokens(random, 4), 60, stops[id]);
      ring.clock_.advance(milliseconds(random() % 400));
      switch (random() % 5) {
        case 0:
          ring.scheduler_->cancel(node(77), {0, id});
          cancelled.insert(id);
          break;
        case 1:
          ring.scheduler_->on_link(node(2), false);
          ring.scheduler_->on_link(node(2), true);
          break;
        default:
          break;
      }
    }
    ASSERT_TRUE(ring.settle());
    for (uint64_t id = 1000; id < 1012; ++id)
      if (!cancelled.contains(id)) {
        ASSERT_EQ(ring.outcomes_[id].answer, ring.oracle(id, 60, stops[id])) << id << ring.outcomes_[id].error;
      }
    ring.scheduler_->set_drafter(nullptr);
    ring.expect_all_free();
  }
}

}  // namespace
}  // namespace exo::serve
