// The scheduler with a draft model beside prompt look-up: the same answers, sooner where it is right, and hardly
// later where it is wrong, slow, silent or mad.

#include "ring/testing/oracle_drafter.h"
#include "serve/testing/hash_ring.h"

namespace exo::serve {
namespace {

using namespace testing;
using ring::testing::DraftLog;
using ring::testing::OracleDrafter;
using ring::testing::OracleDrafterOptions;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct DraftedRing {
  explicit DraftedRing(int32_t n_stages, SchedulerConfig settings = config(400, 4)) : ring(n_stages, settings) {
    ring.stage_time_ = milliseconds(10);
  }
  void use(const OracleDrafterOptions& options) {
    ring.scheduler_->set_drafter(std::make_unique<OracleDrafter>(ring.clock_, *ring.scheduler_, log, options));
  }
  // Seconds until every request of this round was answered, each as its oracle says.
  double run(uint64_t first_id, int n_requests = 1, int32_t max_new = 100) {
    const auto begin = ring.clock_.now();
    for (int i = 0; i < n_requests; ++i)
      ring.submit(first_id + static_cast<uint64_t>(i), random_tokens(random, 12), max_new);
    EXPECT_TRUE(ring.settle());
    const double elapsed = std::chrono::duration<double>(ring.clock_.now() - begin).count();
    for (int i = 0; i < n_requests; ++i) {
      const uint64_t id = first_id + static_cast<uint64_t>(i);
      EXPECT_EQ(ring.outcomes_[id].answer, ring.oracle(id, max_new)) << id << ring.outcomes_[id].error;
    }
    ring.expect_all_free();
    EXPECT_EQ(log.known, 0u);
    return elapsed;
  }
  SchedulerStatistics::Guessed guessed(GuessSource source) const {
    return ring.scheduler_->statistics().of(source);
  }

  Ring ring;
  DraftLog log;
  std::mt19937 random{1};
};

double undrafted_s(int32_t n_stages, uint64_t first_id, int n_requests = 1) {
  return DraftedRing(n_stages).run(first_id, n_requests);
}

TEST(SchedulerDraft, RightGuessesSaveTrips) {
  for (const int32_t n_stages : {1, 3}) {
    DraftedRing drafted(n_stages);
    drafted.use({});
    EXPECT_LT(4 * drafted.run(1), undrafted_s(n_stages, 1)) << n_stages;
    const auto by_draft = drafted.guessed(GuessSource::kDraft);
    EXPECT_GT(by_draft.accepted, 80u);
    EXPECT_EQ(drafted.ring.scheduler_->statistics().accepted_tokens(), drafted.ring.log_.right_guesses);
  }
}

TEST(SchedulerDraft, MostlyRightGuessesSaveTripsToo) {
  DraftedRing drafted(3);
  drafted.use({.right = 0.7});
  EXPECT_LT(1.7 * drafted.run(1), undrafted_s(3, 1));
  const auto by_draft = drafted.guessed(GuessSource::kDraft);
  EXPECT_LT(by_draft.accepted, by_draft.drafted);
}

TEST(SchedulerDraft, WhatDoesNotPayIsHardlyAsked) {
  for (const int32_t n_stages : {1, 3}) {
    DraftedRing wrong(n_stages);
    wrong.use({.right = 0});
    EXPECT_LT(wrong.run(1), 1.1 * undrafted_s(n_stages, 1)) << n_stages;
    const uint64_t learning = wrong.log.guesses;
    EXPECT_LT(wrong.run(2), 1.1 * undrafted_s(n_stages, 2)) << n_stages;
    EXPECT_GT(wrong.log.guesses, learning) << "it is tried again now and then";
    EXPECT_LT(wrong.log.guesses - learning, 200u) << "of 17 for each of 100 tokens";

    DraftedRing slow(n_stages);
    slow.use({.per_guess = milliseconds(400)});
    EXPECT_LT(slow.run(1), 1.1 * undrafted_s(n_stages, 1)) << n_stages;
  }
}

TEST(SchedulerDraft, SilenceIsWaitedForInVainOnlyBriefly) {
  DraftedRing silent(3);
  silent.use({.silent = 1});
  EXPECT_LT(silent.run(1), 1.2 * undrafted_s(3, 1));
  DraftedRing moody(3);
  moody.use({.silent = 0.1, .gives_up = 0.02, .nonsense = 0.05});
  EXPECT_LT(moody.run(1), undrafted_s(3, 1));
}

TEST(SchedulerDraft, TheBetterSourceIsTaken) {
  // Ids from 1000 on repeat themselves: look-up is right for nothing.
  DraftedRing repeating(3);
  repeating.use({.right = 0.8, .per_guess = milliseconds(8)});
  repeating.run(1000, 1, 150);
  EXPECT_GT(repeating.guessed(GuessSource::kLookup).accepted, 2 * repeating.guessed(GuessSource::kDraft).accepted);
  DraftedRing fresh(3);
  fresh.use({.right = 0.8, .per_guess = milliseconds(2)});
  fresh.run(1, 1, 150);
  EXPECT_GT(fresh.guessed(GuessSource::kDraft).accepted, 20 * fresh.guessed(GuessSource::kLookup).accepted);
}

TEST(SchedulerDraft, OthersAreNotHeldUp) {
  DraftedRing drafted(2, config(400, 8));
  drafted.use({.right = 0.9, .per_guess = milliseconds(6)});
  DraftedRing alone(2, config(400, 8));
  EXPECT_LT(drafted.run(1, 8), 1.02 * alone.run(1, 8));
}

TEST(SchedulerDraft, ComesAndGoesWhileRequestsRun) {
  for (const int32_t n_stages : {1, 2}) {
    DraftedRing drafted(n_stages);
    std::mt19937 random(4);
    const auto n_requests = static_cast<uint64_t>(n_stages);  // each has a micro-batch of its own
    for (uint64_t id = 1; id <= n_requests; ++id) drafted.ring.submit(id, random_tokens(random, 40), 120);
    for (int i = 0; i < 6; ++i) {
      drafted.ring.clock_.advance(milliseconds(170));
      if (i % 2) {
        drafted.ring.scheduler_->set_drafter(nullptr);
      } else {
        drafted.use({.right = 0.8, .seed = static_cast<uint64_t>(i)});
      }
    }
    ASSERT_TRUE(drafted.ring.settle());
    for (uint64_t id = 1; id <= n_requests; ++id)
      EXPECT_EQ(drafted.ring.outcomes_[id].answer, drafted.ring.oracle(id, 120)) << id;
    EXPECT_GT(drafted.guessed(GuessSource::kDraft).accepted, 0u);
    EXPECT_EQ(drafted.log.known, 0u);
    drafted.ring.expect_all_free();
  }
}

TEST(SchedulerDraft, StatesOfSequencesAreNotGuessedAt) {
  auto settings = config(100, 2);
  settings.keeps_state = true;
  DraftedRing drafted(2, settings);
  drafted.use({});
  EXPECT_FALSE(drafted.ring.scheduler_->has_drafter());
  drafted.run(1);
  EXPECT_EQ(drafted.log.orders, 0u);
}

// Random loads with losses, preemptions and cancelled requests, on a pool that is too small, with drafters of every
// temper.
TEST(SchedulerDraft, RandomLoads) {
  for (uint32_t seed = 1; seed <= 80; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    const auto n_stages = static_cast<int32_t>(1 + random() % 4);
    Ring ring(n_stages, config(static_cast<int32_t>(14 + random() % 40), static_cast<int32_t>(1 + random() % 6),
                               static_cast<int32_t>(4 + random() % 40), 56));
    DraftLog log;
    const auto draft = [&] {
      ring.scheduler_->set_drafter(std::make_unique<OracleDrafter>(
          ring.clock_, *ring.scheduler_, log,
          OracleDrafterOptions{.right = static_cast<double>(random() % 11) / 10,
                               .per_guess = std::chrono::microseconds(50 + random() % 4000),
                               .silent = random() % 3 ? 0 : 0.1,
                               .gives_up = random() % 3 ? 0 : 0.05,
                               .nonsense = random() % 3 ? 0 : 0.1,
                               .seed = seed}));
    };
    draft();
    std::map<uint64_t, int32_t> asked;
    std::set<uint64_t> cancelled;
    for (uint64_t id = 1; id <= 20; ++id) {
      const uint64_t number = random() % 4 ? id : 1000 + id;
      asked[number] = static_cast<int32_t>(1 + random() % 22);
      ring.submit(number, random_tokens(random, static_cast<int32_t>(1 + random() % 32)), asked[number]);
      ring.clock_.advance(milliseconds(random() % 30));
      if (random() % 8 == 0) {
        ring.scheduler_->cancel(node(77), {0, number});
        cancelled.insert(number);
      }
      if (random() % 10 == 0) draft();
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
    EXPECT_EQ(log.known, 0u);
    ring.expect_all_free();
  }
}

}  // namespace
}  // namespace exo::serve
