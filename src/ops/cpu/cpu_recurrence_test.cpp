#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/testing/random_tensors.h"

namespace exo::ops {
namespace {

using testing::random_floats;
using testing::tensor;

class RecurrenceTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Ops> ops_ = make_cpu_ops({.threads = GetParam()});
};
INSTANTIATE_TEST_SUITE_P(Threads, RecurrenceTest, ::testing::Values(1, 3));

TEST_P(RecurrenceTest, ConvolutionsContinueWhereTheirSlotEnded) {
  constexpr int64_t kRows = 23, kCols = 300;
  constexpr int32_t kTaps = 4;
  auto x = random_floats(kRows * kCols, 1);
  const auto taps = random_floats(kTaps * kCols, 2);
  const Vector weights{taps.data(), kTaps * kCols};
  std::vector<float> memory(3 * (kTaps - 1) * kCols, 7.0f);  // a slot that was used before
  const StateView state{memory.data(), (kTaps - 1) * kCols};
  std::vector<float> out(x.size());
  int64_t done = 0;
  for (const int64_t count : {9, 1, 2, 1, 10}) {
    const SequenceRows rows{.first_row = 0,
                            .n_rows = static_cast<int32_t>(count),
                            .first_position = Position(static_cast<int32_t>(done)),
                            .block_table = {},
                            .slot = 2};
    ops_->causal_convolution(tensor(x, kRows, kCols).row_range(done, count), weights, kTaps, state, {&rows, 1},
                             tensor(out, kRows, kCols).row_range(done, count));
    done += count;
  }
  for (int64_t r = 0; r < kRows; ++r) {
    for (int64_t c = 0; c < kCols; ++c) {
      double expected = 0.0;
      for (int64_t t = 0; t < kTaps; ++t) {
        const int64_t from = r - (kTaps - 1) + t;
        if (from >= 0)
          expected += double{taps[static_cast<size_t>(t * kCols + c)]} * x[static_cast<size_t>(from * kCols + c)];
      }
      ASSERT_NEAR(out[static_cast<size_t>(r * kCols + c)], expected, 1e-5) << r << ' ' << c;
    }
  }
  EXPECT_EQ(memory[0], 7.0f);  // of another slot
}

struct RuleCase {
  int32_t n_heads, n_key_heads, key_dim, value_dim;
  bool tiled;
};

// The rule as it is written down, in double.
std::vector<double> delta_rule_by_hand(const DeltaRule& rule, int64_t head) {
  const int64_t dk = rule.key_dim, dv = rule.value_dim;
  const int64_t key_head = rule.tiled ? head % rule.n_key_heads : head / (rule.n_heads / rule.n_key_heads);
  std::vector<double> state(static_cast<size_t>(dv * dk), 0.0), out;
  const auto direction = [&](const Tensor& x, int64_t row) {
    std::vector<double> v(x.data + row * x.stride + key_head * dk, x.data + row * x.stride + (key_head + 1) * dk);
    double squares = rule.epsilon;
    for (const double a : v) squares += a * a;
    for (double& a : v) a /= std::sqrt(squares);
    return v;
  };
  for (int64_t row = 0; row < rule.key.rows; ++row) {
    const auto k = direction(rule.key, row), q = direction(rule.query, row);
    const double a = double{rule.a.data[row * rule.a.stride + head]} + rule.decay_bias.data[head];
    const double decay = std::exp(rule.decay_rate.data[head] * std::log1p(std::exp(a)));
    const double beta = 1.0 / (1.0 + std::exp(-double{rule.b.data[row * rule.b.stride + head]}));
    for (int64_t j = 0; j < dv; ++j) {
      double* s = state.data() + j * dk;
      double remembered = 0.0, result = 0.0;
      for (int64_t i = 0; i < dk; ++i) remembered += (s[i] *= decay) * k[static_cast<size_t>(i)];
      const double v = rule.value.data[row * rule.value.stride + head * dv + j];
      for (int64_t i = 0; i < dk; ++i) {
        s[i] += beta * (v - remembered) * k[static_cast<size_t>(i)];
        result += s[i] * q[static_cast<size_t>(i)];
      }
      out.push_back(result / std::sqrt(static_cast<double>(dk)));
    }
  }
  return out;
}

TEST_P(RecurrenceTest, DeltaRuleAgreesWithItsDefinition) {
  for (const RuleCase c :
       {RuleCase{4, 2, 16, 24, false}, RuleCase{4, 2, 16, 24, true}, RuleCase{3, 1, 130, 70, false}}) {
    constexpr int64_t kRows = 21;
    const int64_t keys = int64_t{c.n_key_heads} * c.key_dim, values = int64_t{c.n_heads} * c.value_dim;
    auto mixed = random_floats(static_cast<size_t>(kRows * (2 * keys + values)), 1);
    auto a = random_floats(static_cast<size_t>(kRows * c.n_heads), 2), b = random_floats(a.size(), 3);
    auto rate = random_floats(static_cast<size_t>(c.n_heads), 4), bias = random_floats(rate.size(), 5);
    for (float& r : rate) r = -std::exp(r);
    DeltaRule rule{.n_heads = c.n_heads,
                   .n_key_heads = c.n_key_heads,
                   .tiled = c.tiled,
                   .key_dim = c.key_dim,
                   .value_dim = c.value_dim,
                   .epsilon = 1e-6f,
                   .query = {},
                   .key = {},
                   .value = {},
                   .a = {},
                   .b = {},
                   .decay_rate = {rate.data(), c.n_heads},
                   .decay_bias = {bias.data(), c.n_heads}};
    const auto place = [&](int64_t first, int64_t count) {
      const Tensor all = tensor(mixed, kRows, 2 * keys + values).row_range(first, count);
      rule.query = all.columns(0, keys);
      rule.key = all.columns(keys, keys);
      rule.value = all.columns(2 * keys, values);
      rule.a = tensor(a, kRows, c.n_heads).row_range(first, count);
      rule.b = tensor(b, kRows, c.n_heads).row_range(first, count);
    };
    std::vector<float> memory(static_cast<size_t>(2 * rule.state_floats()), 3.0f);
    const StateView state{memory.data(), rule.state_floats()};
    const auto run = [&](std::initializer_list<int64_t> counts) {
      std::vector<float> out(static_cast<size_t>(kRows * values));
      int64_t done = 0;
      for (const int64_t count : counts) {
        place(done, count);
        const SequenceRows rows{.first_row = 0,
                                .n_rows = static_cast<int32_t>(count),
                                .first_position = Position(static_cast<int32_t>(done)),
                                .block_table = {},
                                .slot = 1};
        ops_->delta_rule(rule, state, {&rows, 1}, tensor(out, kRows, values).row_range(done, count));
        done += count;
      }
      return out;
    };
    const auto whole = run({kRows}), pieces = run({1, 7, 1, 1, 11});
    EXPECT_EQ(whole, pieces);
    place(0, kRows);
    for (int64_t head = 0; head < c.n_heads; ++head) {
      const auto expected = delta_rule_by_hand(rule, head);
      for (int64_t row = 0; row < kRows; ++row) {
        for (int64_t j = 0; j < c.value_dim; ++j) {
          ASSERT_NEAR(whole[static_cast<size_t>(row * values + head * c.value_dim + j)],
                      expected[static_cast<size_t>(row * c.value_dim + j)], 2e-5)
              << head << ' ' << row << ' ' << j;
        }
      }
    }
    EXPECT_EQ(memory[0], 3.0f);  // of another slot
  }
}

}  // namespace
}  // namespace exo::ops
