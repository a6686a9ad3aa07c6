#include "sample/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "sample/counter_random.h"
#include "sample/log_probability.h"
#include "sample/portable_exp.h"

namespace exo::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

SamplerSettings plain(float temperature = 1.0f) {
  SamplerSettings settings;
  settings.temperature = temperature;
  settings.top_k = 0;
  settings.top_p = 1;
  settings.min_p = 0;
  return settings;
}

std::vector<float> logits_of(std::vector<double> probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::map<int32_t, int> draw_many(const SamplerSettings& settings, const std::vector<float>& logits, int draws) {
  std::map<int32_t, int> counts;
  Sampler sampler(settings, {}, 0);
  for (int i = 0; i < draws; ++i) {
    std::vector<float> copy = logits;
    ++counts[sampler.sample(copy, Position(i)).token.value];
  }
  return counts;
}

double chi_square(const std::map<int32_t, int>& counts, const std::vector<double>& expected, int draws) {
  double sum = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto it = counts.find(static_cast<int32_t>(i));
    const double seen = it == counts.end() ? 0 : it->second, want = expected[i] * draws;
    if (want > 0) sum += (seen - want) * (seen - want) / want;
    if (want == 0 && seen > 0) return kInfinity;
  }
  return sum;
}

// The tokens that may come out at all, each at least once in `draws`.
std::vector<int32_t> support(const SamplerSettings& settings, const std::vector<float>& logits, int draws = 4000) {
  std::vector<int32_t> ids;
  for (const auto& [id, count] : draw_many(settings, logits, draws)) ids.push_back(id);
  return ids;
}

TEST(CounterRandom, PhiloxKnownAnswers) {
  // From the Random123 distribution's known-answer file.
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(CounterRandom, UniformIsFlatAndIndependentOfOrder) {
  int bins[16] = {};
  for (int i = 0; i < 16000; ++i) ++bins[static_cast<int>(uniform(7, i) * 16)];
  double sum = 0;
  for (const int bin : bins) sum += (bin - 1000.0) * (bin - 1000.0) / 1000.0;
  EXPECT_LT(sum, 37.7);  // 99.9 % of chi-square with 15 degrees of freedom
  EXPECT_EQ(uniform(7, 123), uniform(7, 123));
  EXPECT_NE(uniform(7, 123), uniform(8, 123));
}

TEST(PortableExp, AgreesWithTheLibrary) {
  for (double x = 0; x > -690; x -= 0.37) EXPECT_NEAR(portable_exp(x) / std::exp(x), 1.0, 2e-15) << x;
  EXPECT_EQ(portable_exp(0.0), 1.0);
  EXPECT_EQ(portable_exp(-kInfinity), 0.0);
  EXPECT_EQ(portable_exp(kNan), 0.0);
}

TEST(Sampler, DrawsFromTheSoftmax) {
  const std::vector<double> p = {0.4, 0.3, 0.2, 0.1};
  auto settings = plain();
  settings.seed = 42;
  EXPECT_LT(chi_square(draw_many(settings, logits_of(p), 20000), p, 20000), 16.3);  // 99.9 %, 3 degrees
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  // At temperature 0.5 probabilities are squared and normalised.
  auto settings = plain(0.5f);
  settings.seed = 3;
  const std::vector<double> squared = {0.16 / 0.30, 0.09 / 0.30, 0.04 / 0.30, 0.01 / 0.30};
  const auto counts = draw_many(settings, logits_of({0.4, 0.3, 0.2, 0.1}), 20000);
  EXPECT_LT(chi_square(counts, squared, 20000), 16.3);
}

TEST(Sampler, TopKKeepsTheBestAndRenormalises) {
  auto settings = plain();
  settings.top_k = 2;
  const auto counts = draw_many(settings, logits_of({0.1, 0.4, 0.2, 0.3}), 20000);
  EXPECT_LT(chi_square(counts, {0, 4.0 / 7, 0, 3.0 / 7}, 20000), 10.8);
}

TEST(Sampler, TopKTiesGoToTheLowestIds) {
  auto settings = plain();
  settings.top_k = 3;
  EXPECT_EQ(support(settings, std::vector<float>(100, 1.5f)), (std::vector<int32_t>{0, 1, 2}));
}

TEST(Sampler, TopPIsTheSmallestSetThatReachesIt) {
  const auto logits = logits_of({0.1, 0.4, 0.2, 0.3});
  auto settings = plain();
  settings.top_p = 0.65f;
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1, 3}));
  settings.top_p = 0.75f;
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1, 2, 3}));
  settings.top_p = 0.01f;
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1}));
}

TEST(Sampler, TopPCountsWhatTopKLeft) {
  // Of {0.4, 0.3, 0.2} renormalised the first has 0.44, the first two 0.78.
  auto settings = plain();
  settings.top_k = 3;
  settings.top_p = 0.77f;
  EXPECT_EQ(support(settings, logits_of({0.1, 0.4, 0.2, 0.3})), (std::vector<int32_t>{1, 3}));
}

TEST(Sampler, TopPOverManyEqualLogitsSortsAsFarAsItMust) {
  auto settings = plain();
  settings.top_p = 0.5f;
  const auto ids = support(settings, std::vector<float>(600, 0.25f), 3000);
  EXPECT_LT(ids.back(), 300);
  EXPECT_GT(ids.back(), 290);
}

TEST(Sampler, MinPIsRelativeToTheBest) {
  const auto logits = logits_of({0.1, 0.4, 0.2, 0.3});
  auto settings = plain();
  settings.min_p = 0.6f;  // threshold 0.24
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1, 3}));
  settings.top_k = 3;
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1, 3}));
  settings.min_p = 1.5f;
  EXPECT_EQ(support(settings, logits), (std::vector<int32_t>{1}));
}

TEST(Sampler, GreedyTakesTheFirstLargest) {
  Sampler sampler(plain(0), {}, 0);
  std::vector<float> logits = {1, kNan, 5, 5, -kInfinity};
  EXPECT_EQ(sampler.sample(logits, Position(0)).token, TokenId(2));
  std::vector<float> nothing(40, kNan);
  EXPECT_EQ(sampler.sample(nothing, Position(1)).token, TokenId(0));
  std::vector<float> last(37, -3.0f);
  last[36] = 0;
  EXPECT_EQ(sampler.sample(last, Position(2)).token, TokenId(36));
}

TEST(Sampler, NanAndInfinityAreHarmless) {
  for (const int32_t top_k : {0, 2}) {
    auto settings = plain();
    settings.top_k = top_k;
    EXPECT_EQ(support(settings, {kNan, 1, -kInfinity, 1, kNan}), (std::vector<int32_t>{1, 3}));
    EXPECT_EQ(support(settings, {0, kInfinity, 3}), (std::vector<int32_t>{1}));
    EXPECT_EQ(support(settings, {-kInfinity, -kInfinity, kNan}), (std::vector<int32_t>{0}));
    settings.top_p = 0.9f;
    EXPECT_EQ(support(settings, {kNan, 1, -kInfinity, 1, kNan}), (std::vector<int32_t>{1, 3}));
    settings.temperature = kNan;
    settings.min_p = kNan;
    EXPECT_EQ(support(settings, {kNan, 1, -kInfinity, 2, kNan}), (std::vector<int32_t>{3}));
  }
}

TEST(Sampler, LogitBias) {
  auto settings = plain(0);
  settings.logit_bias = {{TokenId(0), 10.0f}, {TokenId(99), 5.0f}, {TokenId(-1), 5.0f}};
  Sampler sampler(settings, {}, 0);
  std::vector<float> logits = {1, 2, 3};
  EXPECT_EQ(sampler.sample(logits, Position(0)).token, TokenId(0));
}

TEST(Sampler, RepetitionPenaltyLooksBackOverTheWindowOnce) {
  auto settings = plain(0);
  settings.repetition_penalty = 2;
  settings.penalty_window = 2;
  // Token 0 twice in the window is penalised once: 3 → 1.5, below 2; negative logits are multiplied.
  Sampler sampler(settings, {TokenId(0), TokenId(0)}, 2);
  std::vector<float> logits = {3, 2, -4};
  EXPECT_EQ(sampler.sample(logits, Position(2)).token, TokenId(1));
  EXPECT_FLOAT_EQ(logits[0], 1.5f);
  // Now the window holds 0 and 1; after another token, 0 is out of it.
  std::vector<float> again = {3, 2, -4};
  EXPECT_EQ(sampler.sample(again, Position(3)).token, TokenId(0));
  EXPECT_FLOAT_EQ(again[1], 1.0f);
  EXPECT_FLOAT_EQ(again[2], -4.0f);
}

TEST(Sampler, PresenceAndFrequencyCountTheAnswerOnly) {
  auto settings = plain(0);
  settings.presence_penalty = 1;
  settings.frequency_penalty = 0.5f;
  Sampler sampler(settings, {TokenId(0), TokenId(1), TokenId(1)}, 1);  // one token of prompt
  std::vector<float> logits = {0, 0, 0};
  sampler.sample(logits, Position(3));
  EXPECT_FLOAT_EQ(logits[0], 0.0f);
  EXPECT_FLOAT_EQ(logits[1], -2.0f);
}

TEST(Sampler, ResumesExactly) {
  SamplerSettings settings;
  settings.seed = 99;
  settings.repetition_penalty = 1.3f;
  settings.presence_penalty = 0.4f;
  settings.frequency_penalty = 0.2f;
  settings.penalty_window = 8;
  const auto logits_at = [](int position) {
    std::vector<float> logits(500);
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] =
          6.0f * static_cast<float>(uniform(static_cast<uint64_t>(position) + 1000, static_cast<int32_t>(i)));
    return logits;
  };
  std::vector<TokenId> history = {TokenId(5), TokenId(6), TokenId(7)};
  Sampler whole(settings, history, 3);
  for (int position = 3; position < 60; ++position) {
    auto logits = logits_at(position);
    history.push_back(whole.sample(logits, Position(position)).token);
    if (position != 30) continue;
    Sampler resumed(settings, history, 3);
    Sampler original = whole;
    for (int later = 31; later < 60; ++later) {
      auto a = logits_at(later), b = logits_at(later);
      EXPECT_EQ(original.sample(a, Position(later)).token, resumed.sample(b, Position(later)).token);
    }
  }
  EXPECT_EQ(whole.history(), history);
}

TEST(Sampler, GoldenTokens) {
  // Fixed for ever: a change here is a change of every seeded answer.
  SamplerSettings settings;
  settings.seed = 1234;
  Sampler sampler(settings, {}, 0);
  std::vector<int32_t> ids;
  for (int position = 0; position < 8; ++position) {
    std::vector<float> logits(100);
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>((i * 37 + position * 11) % 50) * 0.1f;
    ids.push_back(sampler.sample(logits, Position(position)).token.value);
  }
  EXPECT_EQ(ids, (std::vector<int32_t>{24, 74, 53, 45, 66, 89, 48, 87}));
}

TEST(Sampler, LogProbabilityIsOfTheRawDistribution) {
  auto settings = plain(0);
  settings.top_log_probabilities = 2;
  settings.logit_bias = {{TokenId(3), 100.0f}};
  Sampler sampler(settings, {}, 0);
  auto logits = logits_of({0.1, 0.4, 0.3, 0.2});
  const SampledToken sampled = sampler.sample(logits, Position(0));
  EXPECT_EQ(sampled.token, TokenId(3));
  EXPECT_NEAR(sampled.log_probability, std::log(0.2), 1e-6);
  ASSERT_EQ(sampled.alternatives.size(), 2u);
  EXPECT_EQ(sampled.alternatives[0].first, TokenId(1));
  EXPECT_NEAR(sampled.alternatives[1].second, std::log(0.3), 1e-6);
}

TEST(SelectBest, HeapAndPartitionAgreeWithSorting) {
  std::vector<float> logits(5000);
  for (size_t i = 0; i < logits.size(); ++i)
    logits[i] = static_cast<float>(uniform(1, static_cast<int32_t>(i)) * 300) * 0.25f;
  logits[17] = kNan;
  std::vector<Candidate> sorted, best;
  for (size_t i = 0; i < logits.size(); ++i)
    if (i != 17) sorted.push_back({logits[i], static_cast<int32_t>(i)});
  std::stable_sort(sorted.begin(), sorted.end(), [](auto& a, auto& b) { return a.logit > b.logit; });
  for (const size_t count : {1u, 40u, 1024u, 1025u, 4999u, 5000u, 9000u}) {
    select_best(logits, count, best);
    ASSERT_EQ(best.size(), std::min<size_t>(count, 4999));
    for (size_t i = 0; i < best.size(); ++i) ASSERT_EQ(best[i].id, sorted[i].id) << count << " " << i;
  }
  select_best({}, 5, best);
  EXPECT_TRUE(best.empty());
}

}  // namespace
}  // namespace exo::sample
