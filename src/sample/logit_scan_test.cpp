#include "sample/logit_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "hwy/targets.h"
#include "sample/counter_random.h"
#include "sample/portable_exp.h"
#include "sample/sampler.h"

namespace exo::sample {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::vector<float> some_logits(size_t n, uint64_t seed) {
  std::vector<float> logits(n);
  for (size_t i = 0; i < n; ++i) {
    const double x = uniform(seed, static_cast<int32_t>(i));
    logits[i] = x < 0.03 ? kNan : x > 0.97 ? -kInfinity : static_cast<float>(std::floor(x * 300) * 0.1 - 20);
  }
  return logits;
}

// Of what this processor supports.
std::vector<int64_t> compiled_targets() {
  std::vector<int64_t> targets;
  const int64_t all = hwy::SupportedTargets() & logit_scan_targets();
  for (int64_t bit = 1; bit != 0 && bit <= all; bit <<= 1)
    if (all & bit) targets.push_back(bit);
  return targets;
}

// Runs the body once for every instruction set that this processor has.
class LogitScan : public ::testing::TestWithParam<int64_t> {
 protected:
  LogitScan() { choose(GetParam()); }
  ~LogitScan() override { choose(0); }

 private:
  static void choose(int64_t target) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};
INSTANTIATE_TEST_SUITE_P(Targets, LogitScan, ::testing::ValuesIn(compiled_targets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

TEST_P(LogitScan, FindsTheFirst) {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{15}, size_t{16}, size_t{17}, size_t{31}, size_t{400}}) {
    const auto logits = some_logits(n, n);
    float most = kLowestLogit;
    for (const float logit : logits) most = logit > most ? logit : most;
    EXPECT_EQ(max_of(logits), most);
    for (size_t begin = 0; begin <= n; ++begin) {
      for (const float bound : {-kInfinity, -7.0f, 0.0f, most, kInfinity}) {
        size_t above = begin, equal = begin;
        while (above < n && !(logits[above] > bound)) ++above;
        while (equal < n && logits[equal] != bound) ++equal;
        EXPECT_EQ(find_above(logits, begin, bound), above) << n << " " << begin << " " << bound;
        EXPECT_EQ(find_equal(logits, begin, bound), equal) << n << " " << begin << " " << bound;
      }
    }
  }
  EXPECT_EQ(find_equal(std::vector<float>{kNan, 0.0f}, 0, -0.0f), 1u);
  EXPECT_EQ(find_equal(std::vector<float>{kNan}, 0, kNan), 1u);
}

// What the vectors do, a number at a time: the same to the last bit, whatever their width.
TEST_P(LogitScan, SumsAreTheSameOnEveryMachine) {
  for (const size_t n : {size_t{0}, size_t{1}, size_t{7}, size_t{8}, size_t{9}, size_t{1000}}) {
    for (const ExpTerms terms : {ExpTerms{10, 1, -HUGE_VAL}, ExpTerms{10, 1 / 0.7f, 2.5}, ExpTerms{1000, 1, -30}}) {
      auto logits = some_logits(n, n + 7);
      if (n > 8) logits[8] = kInfinity;
      double sums[8] = {};
      for (size_t i = 0; i < n; ++i) sums[i % 8] += exp_term(logits[i], terms);
      const double expected =
          ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
      EXPECT_EQ(exp_sum(logits, terms), expected) << n;
    }
  }
}

TEST(ExpTerm, Values) {
  const ExpTerms terms{2, 2, -3};
  EXPECT_EQ(exp_term(2, terms), 1.0);
  EXPECT_EQ(exp_term(1, terms), portable_exp(-2.0));
  EXPECT_GT(exp_term(-3, terms), 0.0);
  for (const float nothing : {-3.5f, -kInfinity, kNan}) EXPECT_EQ(exp_term(nothing, terms), 0.0);
}

// Of many tokens, over several blocks, the first whose cumulated weight exceeds the random number's share.
TEST_P(LogitScan, DrawsFromAllWalkOverTheIds) {
  SamplerSettings settings;
  settings.temperature = 0.8f;
  settings.top_k = 0;
  settings.top_p = 1;
  settings.min_p = 0.001f;
  settings.seed = 5;
  Sampler sampler(settings, {}, 0);
  const auto logits = some_logits(5000, 3);
  const double most = max_of(logits);
  const auto weight = [&](float logit) {
    if (!(std::exp(logit - most) >= 0.001)) return 0.0;
    return std::exp((logit - most) / static_cast<double>(settings.temperature));
  };
  double total = 0;
  for (const float logit : logits) total += weight(logit);
  for (int32_t position = 0; position < 200; ++position) {
    const double target = uniform(5, position) * total;
    double reached = 0;
    int32_t expected = 0;
    for (size_t i = 0; i < logits.size() && reached <= target; ++i) {
      reached += weight(logits[i]);
      expected = static_cast<int32_t>(i);
    }
    auto copy = logits;
    EXPECT_EQ(sampler.sample(copy, Position(position)).token.value, expected) << position;
  }
}

}  // namespace
}  // namespace exo::sample
