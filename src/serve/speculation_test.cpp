#include "serve/speculation.h"

#include <gtest/gtest.h>

#include "serve/prompt_lookup.h"

namespace exo::serve {
namespace {

std::vector<TokenId> ids(std::initializer_list<int32_t> values) {
  std::vector<TokenId> tokens;
  for (const int32_t value : values) tokens.emplace_back(value);
  return tokens;
}

TEST(PromptLookup, ProposesWhatFollowedTheLastTime) {
  PromptLookup lookup;
  const auto tokens = ids({1, 2, 3, 40, 41, 9, 1, 2, 3, 50, 51, 52, 9, 9, 1, 2, 3});
  EXPECT_EQ(lookup.guess(tokens, 3), ids({50, 51, 52}));
  EXPECT_EQ(lookup.guess(tokens, 0), ids({}));
}

TEST(PromptLookup, LongerMatchesComeFirst) {
  PromptLookup lookup;
  // "2 3" was followed by 60 last, but after "1 2 3" came 50.
  EXPECT_EQ(lookup.guess(ids({1, 2, 3, 50, 7, 2, 3, 60, 8, 1, 2, 3}), 1), ids({50}));
  EXPECT_EQ(PromptLookup().guess(ids({2, 3, 60, 8, 1, 2, 3}), 1), ids({60}));
}

TEST(PromptLookup, RepetitionGoesOn) {
  PromptLookup lookup;
  EXPECT_EQ(lookup.guess(ids({4, 5, 4, 5, 4, 5}), 5), ids({4, 5, 4, 5, 4}));
}

TEST(PromptLookup, NothingToGoBy) {
  PromptLookup lookup;
  EXPECT_TRUE(lookup.guess({}, 4).empty());
  EXPECT_TRUE(lookup.guess(ids({1}), 4).empty());
  EXPECT_TRUE(lookup.guess(ids({1, 2, 3, 4}), 4).empty());
  // The sequence grows: its old end is now a place with something after it.
  EXPECT_EQ(lookup.guess(ids({1, 2, 3, 4, 2, 3, 4}), 2), ids({2, 3}));
}

TEST(Speculation, LongWindowsWhereTripsAreSlowAndGuessesRight) {
  const StepCost slow{0.060, 0.002}, fast{0.010, 0.008};
  Speculation good, bad;
  for (int i = 0; i < 10; ++i) good.learn(8, 8), bad.learn(4, 0);
  EXPECT_GE(good.window(slow, 24).guesses, 20);
  EXPECT_LE(bad.window(slow, 24).guesses, 1);
  EXPECT_EQ(bad.window(fast, 24).guesses, 0);
  EXPECT_LT(good.window({0.010, 0.0099}, 24).guesses, good.window(slow, 24).guesses);
  EXPECT_EQ(good.window(slow, 0).guesses, 0);
}

TEST(Speculation, WindowIsTheBestByItsOwnFormula) {
  Speculation s;
  s.learn(10, 6);
  const double p = s.acceptance();
  const StepCost cost{0.030, 0.004};
  const auto rate = [&](int k) {
    double tokens = 0, power = 1;
    for (int i = 0; i <= k; ++i, power *= p) tokens += power;
    return tokens / (cost.fixed_s + k * cost.per_row_s);
  };
  const int32_t chosen = s.window(cost, 24).guesses;
  for (int k = 0; k <= 24; ++k) EXPECT_LE(rate(k), rate(chosen) * (1 + 1e-12)) << k;
}

TEST(Speculation, GuessesThatTakeTimeAreFewer) {
  const StepCost cost{0.060, 0.001};
  const Speculation s(0.8);
  const Window free = s.window(cost, 24), made = s.window(cost, 24, {0, 0.010}),
               some = s.window(cost, 24, {7, 0.010});
  EXPECT_LT(made.guesses, some.guesses);
  EXPECT_LT(some.guesses, free.guesses);
  EXPECT_LT(made.tokens_per_s, some.tokens_per_s);
  EXPECT_LT(some.tokens_per_s, free.tokens_per_s);
  EXPECT_EQ(s.window(cost, 24, {24, 1.0}).guesses, free.guesses) << "those that are there cost nothing";
  EXPECT_EQ(s.window(cost, 24, {0, 1.0}).guesses, 0);
}

TEST(StepCostEstimate, FindsTheLine) {
  StepCostEstimate estimate;
  EXPECT_EQ(estimate.cost().fixed_s, 0);
  estimate.measure(1, 0.040);
  EXPECT_NEAR(estimate.cost().fixed_s, 0.040, 1e-12);
  EXPECT_NEAR(estimate.cost().per_row_s, 0.010, 1e-12);
  for (int i = 0; i < 50; ++i) estimate.measure(1 + i % 7, 0.030 + 0.002 * (i % 7));
  EXPECT_NEAR(estimate.cost().fixed_s, 0.030, 0.002);
  EXPECT_NEAR(estimate.cost().per_row_s, 0.002, 0.0004);
  for (int i = 0; i < 200; ++i) estimate.measure(3, 0.5);  // the ring became slow
  EXPECT_GT(estimate.cost().fixed_s, 0.2);
}

TEST(Speculation, LearnsAndRecovers) {
  Speculation s;
  for (int i = 0; i < 20; ++i) s.learn(4, 0);
  const double low = s.acceptance();
  EXPECT_LT(low, 0.1);
  for (int i = 0; i < 20; ++i) s.learn(4, 4);
  EXPECT_GT(s.acceptance(), 0.9);
}

}  // namespace
}  // namespace exo::serve
