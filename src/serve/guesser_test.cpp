#include "serve/guesser.h"

#include <gtest/gtest.h>

namespace exo::serve {
namespace {

std::vector<TokenId> ids(std::initializer_list<int32_t> values) {
  std::vector<TokenId> tokens;
  for (const int32_t value : values) tokens.emplace_back(value);
  return tokens;
}
std::vector<SampledToken> sampled(std::initializer_list<int32_t> values) {
  std::vector<SampledToken> tokens;
  for (const int32_t value : values) tokens.push_back({TokenId(value), 0, {}});
  return tokens;
}

const StepCost kSlowRing{0.080, 0.001};

// A sequence that does not repeat itself, growing by what `step` samples.
std::vector<TokenId> fresh(int32_t n) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < n; ++i) tokens.emplace_back(i);
  return tokens;
}

TEST(Guesser, TheChainFollowsWhatIsSampled) {
  Guesser guesser;
  guesser.take(ids({10, 11, 12, 13}));
  const auto guesses = guesser.choose(fresh(9), kSlowRing, 2);
  EXPECT_EQ(guesses.source, GuessSource::kDraft);
  EXPECT_EQ(guesses.tokens, ids({10, 11}));
  EXPECT_TRUE(guesser.sent(guesses.tokens));
  guesser.take(ids({14}));
  EXPECT_TRUE(guesser.answer(sampled({10, 11, 12})));
  EXPECT_EQ(std::vector(guesser.chain().begin(), guesser.chain().end()), ids({13, 14}));
  EXPECT_TRUE(guesser.sent({}));
  EXPECT_FALSE(guesser.answer(sampled({50})));
  EXPECT_TRUE(guesser.chain().empty());
}

TEST(Guesser, AChainThatWasTooShortIsOver) {
  Guesser guesser;
  guesser.take(ids({10}));
  EXPECT_TRUE(guesser.sent(ids({10})));
  EXPECT_FALSE(guesser.answer(sampled({10, 11})));
  EXPECT_TRUE(guesser.chain().empty());
  EXPECT_GT(guesser.draft_acceptance(), 0.5);
}

TEST(Guesser, GuessesOfLookUpAreNotTheDraftModels) {
  Guesser guesser;
  EXPECT_FALSE(guesser.sent(ids({10, 11})));
  guesser.take(ids({12, 99}));
  EXPECT_TRUE(guesser.answer(sampled({10, 11, 12})));
  EXPECT_GT(guesser.draft_acceptance(), 0.5) << "it said what would follow";
  const double before = guesser.draft_acceptance();
  EXPECT_FALSE(guesser.sent(ids({20})));
  EXPECT_FALSE(guesser.answer(sampled({21})));
  EXPECT_EQ(guesser.draft_acceptance(), before) << "it was not asked";
}

TEST(Guesser, WhatGoesAheadFollowsWhatIsAssumed) {
  Guesser guesser(0.95);
  guesser.take(ids({10, 11, 12, 13, 14, 15}));
  const auto behind = guesser.choose_ahead(fresh(9), ids({10, 11}), kSlowRing, 16);
  EXPECT_EQ(behind.source, GuessSource::kDraft);
  EXPECT_EQ(behind.tokens, ids({12, 13, 14, 15}));
  EXPECT_EQ(guesser.choose_ahead(fresh(9), ids({10, 11}), kSlowRing, 3).tokens, ids({12, 13, 14}));
  EXPECT_TRUE(guesser.choose_ahead(fresh(9), ids({10, 50}), kSlowRing, 16).tokens.empty()) << "another text";
  EXPECT_TRUE(guesser.choose_ahead(fresh(9), guesser.chain(), kSlowRing, 16).tokens.empty()) << "all are away";
  EXPECT_TRUE(guesser.choose_ahead(fresh(9), ids({10}), kSlowRing, 0).tokens.empty());
  Guesser unsure(0.3);
  unsure.take(ids({10, 11, 12, 13}));
  EXPECT_TRUE(unsure.choose_ahead(fresh(9), ids({10, 11}), kSlowRing, 16).tokens.empty()) << "hardly ever right";
}

TEST(Guesser, LookUpKnowsWhatComesBehindItsGuesses) {
  Guesser guesser;
  const auto tokens = ids({1, 2, 3, 4, 5, 6, 7, 8, 1, 2});
  guesser.sent(guesser.choose(tokens, kSlowRing, 2).tokens);
  EXPECT_TRUE(guesser.answer(sampled({3, 4})));
  const auto more = guesser.choose_ahead(tokens, ids({3, 4}), kSlowRing, 2);
  EXPECT_EQ(more.source, GuessSource::kLookup);
  EXPECT_EQ(more.tokens, ids({5, 6}));
}

TEST(Guesser, WaitsAsLongAsItPays) {
  Guesser right(0.95), unsure(0.3);
  const auto tokens = fresh(9);
  EXPECT_GT(right.worth_waiting(tokens, kSlowRing, 0.002, 16, false), 8);
  EXPECT_LT(unsure.worth_waiting(tokens, kSlowRing, 0.002, 16, false), 4);
  EXPECT_EQ(right.worth_waiting(tokens, kSlowRing, 0.200, 16, false), 0) << "a guess takes longer than a trip";
  EXPECT_EQ(right.worth_waiting(tokens, kSlowRing, 0, 16, false), 0) << "nobody knows how long it takes";
  EXPECT_EQ(right.worth_waiting(tokens, {}, 0.002, 16, false), 0);
  EXPECT_EQ(right.worth_waiting(tokens, kSlowRing, 0.002, 0, false), 0);
  right.take(ids({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}));
  EXPECT_EQ(right.worth_waiting(tokens, kSlowRing, 0.002, 16, false), 0) << "they are there already";
}

TEST(Guesser, WhatDoesNotPayIsTriedNowAndThen) {
  Guesser guesser(0.0);
  int tries = 0, tries_waiting = 0;
  Guesser waiting(0.0);
  for (int32_t n = 10; n < 210; ++n) {
    tries += guesser.worth_making(fresh(n), kSlowRing, 0, 16) > 0;
    tries_waiting += waiting.worth_waiting(fresh(n), kSlowRing, 0.030, 16, true) > 0;
  }
  EXPECT_GE(tries, 3);
  EXPECT_LE(tries, 6);
  EXPECT_EQ(tries, tries_waiting);
}

TEST(Guesser, LookUpThatHasBeenRightComesFirst) {
  Guesser guesser;
  std::vector<TokenId> tokens = ids({1, 2, 3, 4, 5, 6, 1, 2});
  for (int32_t i = 3; i < 9; ++i) {  // the text repeats itself
    const auto guesses = guesser.choose(tokens, kSlowRing, 4);
    EXPECT_EQ(guesses.source, GuessSource::kLookup);
    guesser.sent({});
    const auto next = tokens[tokens.size() - 6];
    guesser.answer(sampled({next.value}));
    tokens.push_back(next);
  }
  guesser.take(ids({70, 71}));
  EXPECT_EQ(guesser.choose(tokens, kSlowRing, 4).source, GuessSource::kLookup);
  for (int i = 0; i < 12; ++i) {  // and goes on otherwise, as the draft model says
    guesser.lose();
    guesser.take(ids({100 + i, 101 + i}));
    guesser.choose(tokens, kSlowRing, 4);
    guesser.sent({});
    guesser.answer(sampled({100 + i}));
  }
  guesser.lose();
  guesser.take(ids({70, 71}));
  EXPECT_EQ(guesser.choose(tokens, kSlowRing, 4).source, GuessSource::kDraft);
}

}  // namespace
}  // namespace exo::serve
