#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/dequantize.h"
#include "kernels/quantize.h"
#include "ops/cpu/cpu_ops.h"
#include "ops/cpu/testing/random_tensors.h"

namespace exo::ops {
namespace {

using testing::random_floats;
using testing::tensor;

struct Choice {
  std::vector<int32_t> experts;
  std::vector<float> weights;
  Routing routing(int64_t rows, int32_t n_chosen) {
    experts.resize(static_cast<size_t>(rows * n_chosen));
    weights.resize(experts.size());
    return {experts.data(), weights.data(), rows, n_chosen};
  }
};

// The definition, by sorting, in double.
Choice reference_route(const std::vector<float>& logits, const RoutingParams& params, int32_t n_chosen) {
  const size_t n = logits.size();
  std::vector<double> score(logits.begin(), logits.end());
  double total = 0.0;
  for (double& s : score) {
    if (params.score == ExpertScore::kSigmoid) s = 1.0 / (1.0 + std::exp(-s));
    if (params.score == ExpertScore::kSoftmax) total += s = std::exp(s);
  }
  if (params.score == ExpertScore::kSoftmax) {
    for (double& s : score) s /= total;
  }
  std::vector<double> key = score;
  if (params.selection_bias) {
    for (size_t i = 0; i < n; ++i) key[i] += double{params.selection_bias.data[i]};
  }
  const size_t size = n / static_cast<size_t>(params.n_groups);
  std::vector<std::pair<double, size_t>> groups;
  for (size_t g = 0; g < static_cast<size_t>(params.n_groups); ++g) {
    std::vector<double> members(key.begin() + static_cast<long>(g * size),
                                key.begin() + static_cast<long>((g + 1) * size));
    std::ranges::sort(members, std::greater());
    groups.emplace_back(-(members[0] + (params.groups_by_best_two ? members[1] : 0.0)), g);
  }
  std::ranges::sort(groups);
  std::vector<std::pair<double, size_t>> order;
  for (size_t g = 0; g < static_cast<size_t>(params.n_groups_chosen); ++g) {
    for (size_t i = 0; i < size; ++i) {
      const size_t expert = groups[g].second * size + i;
      order.emplace_back(-key[expert], expert);
    }
  }
  std::ranges::sort(order);
  Choice choice;
  double sum = 0.0;
  for (int32_t i = 0; i < n_chosen; ++i) {
    const size_t expert = order[static_cast<size_t>(i)].second;
    choice.experts.push_back(static_cast<int32_t>(expert));
    if (params.score == ExpertScore::kSoftmaxOfChosen) score[expert] = std::exp(score[expert]);
    sum += score[expert];
  }
  const bool divides = params.normalize || params.score == ExpertScore::kSoftmaxOfChosen;
  for (const int32_t expert : choice.experts) {
    choice.weights.push_back(
        static_cast<float>(score[static_cast<size_t>(expert)] / (divides ? sum : 1.0) * double{params.scale}));
  }
  return choice;
}

class CpuExpertsTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Ops> ops_ = make_cpu_ops({.threads = GetParam()});
};
INSTANTIATE_TEST_SUITE_P(Threads, CpuExpertsTest, ::testing::Values(1, 3));

TEST_P(CpuExpertsTest, RoutesAsDefined) {
  const auto bias = random_floats(24, 9);
  const Vector with_bias{bias.data(), 24};
  const RoutingParams cases[] = {
      {},
      {.normalize = true},
      {.score = ExpertScore::kSigmoid, .scale = 2.5f},
      {.score = ExpertScore::kSoftmaxOfChosen},
      {.score = ExpertScore::kSigmoid, .selection_bias = with_bias, .normalize = true, .scale = 1.5f},
      {.n_groups = 6, .n_groups_chosen = 2, .scale = 16.0f},
      {.score = ExpertScore::kSigmoid,
       .selection_bias = with_bias,
       .n_groups = 4,
       .n_groups_chosen = 2,
       .groups_by_best_two = true,
       .normalize = true},
  };
  constexpr int32_t kRows = 50, kExperts = 24, kChosen = 5;
  auto logits = random_floats(kRows * kExperts, 3);
  for (const auto& params : cases) {
    Choice got;
    ops_->route(tensor(logits, kRows, kExperts), params, got.routing(kRows, kChosen));
    for (size_t r = 0; r < kRows; ++r) {
      const std::vector<float> row(logits.begin() + static_cast<long>(r * kExperts),
                                   logits.begin() + static_cast<long>((r + 1) * kExperts));
      const auto expected = reference_route(row, params, kChosen);
      for (size_t i = 0; i < kChosen; ++i) {
        ASSERT_EQ(got.experts[r * kChosen + i], expected.experts[i]) << "case " << &params - cases << " row " << r;
        ASSERT_NEAR(got.weights[r * kChosen + i], expected.weights[i], 1e-6f * params.scale);
      }
    }
  }
}

TEST_P(CpuExpertsTest, EqualScoresGoToTheLowerNumber) {
  std::vector<float> logits(8, 1.0f);
  logits[5] = 2.0f;
  Choice choice;
  ops_->route(tensor(logits, 1, 8), {}, choice.routing(1, 3));
  EXPECT_THAT(choice.experts, ::testing::ElementsAre(5, 0, 1));
}

TEST_P(CpuExpertsTest, NearScoresShareTheirWeight) {
  std::vector<float> logits = {0.5f, 1.0f, -3.0f, 0.99f, 0.98f, 0.975f};
  Choice choice;
  ops_->route(tensor(logits, 1, 6), {.score = ExpertScore::kSoftmaxOfNear}, choice.routing(1, 3));
  EXPECT_THAT(choice.experts, ::testing::ElementsAre(1, 3, 4));
  const auto share = [](float a, float b, float c) { return 1.0f / (std::exp(a) + std::exp(b) + std::exp(c)); };
  constexpr float kNone = -std::numeric_limits<float>::infinity();
  EXPECT_NEAR(choice.weights[0], share(0.0f, -0.01f, -0.02f), 1e-5f);
  EXPECT_NEAR(choice.weights[1], share(0.0f, -0.01f, -0.015f), 1e-5f);
  EXPECT_NEAR(choice.weights[2], share(0.0f, -0.005f, kNone), 1e-5f);
}

TEST_P(CpuExpertsTest, NumbersThatAreNoneStillChooseDifferentExperts) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(), kMost = std::numeric_limits<float>::infinity();
  for (const auto score :
       {ExpertScore::kSoftmax, ExpertScore::kSigmoid, ExpertScore::kSoftmaxOfChosen, ExpertScore::kSoftmaxOfNear}) {
    for (auto row : {std::vector<float>(8, kNan), {kNan, kMost, -kMost, kMost, kNan, 0.0f, 1.0f, kNan}}) {
      Choice choice;
      ops_->route(tensor(row, 1, 8), {.score = score, .n_groups = 4, .n_groups_chosen = 3, .normalize = true},
                  choice.routing(1, 6));
      std::ranges::sort(choice.experts);
      EXPECT_TRUE(std::ranges::adjacent_find(choice.experts) == choice.experts.end());
      EXPECT_GE(choice.experts.front(), 0);
      EXPECT_LT(choice.experts.back(), 8);
    }
  }
}

struct Experts {
  std::vector<std::byte> bytes;
  std::vector<std::span<const std::byte>> parts;
  std::vector<float> values, bias;
  Weight weight;

  Experts(Ops& ops, ElementType type, int64_t n, int64_t rows, int64_t cols, bool apart) {
    const auto x = random_floats(static_cast<size_t>(n * rows * cols), 2);
    const auto row = static_cast<int64_t>(*row_bytes(type, static_cast<uint64_t>(cols)));
    bytes.resize(static_cast<size_t>(n * rows * row));
    values.resize(x.size());
    for (int64_t r = 0; r < n * rows; ++r) {
      kernels::quantize_row(type, x.data() + r * cols, bytes.data() + r * row, cols);
      kernels::dequantize_row(type, bytes.data() + r * row, values.data() + r * cols, cols);
    }
    bias = random_floats(static_cast<size_t>(n * rows), 4);
    if (apart) {
      for (int64_t e = 0; e < n; ++e) {
        parts.push_back(
            std::span(bytes).subspan(static_cast<size_t>(e * rows * row), static_cast<size_t>(rows * row)));
      }
    }
    weight = *ops.load({.type = type,
                        .rows = rows,
                        .cols = cols,
                        .n_matrices = n,
                        .bytes = apart ? std::span<const std::byte>() : bytes,
                        .parts = parts});
  }
};

// Rows [first, first + count) of x, each with its own experts.
std::vector<float> multiply(Ops& ops, Tensor x, Choice& choice, int64_t rows, int32_t n_chosen,
                            const Experts& experts) {
  std::vector<float> out(static_cast<size_t>(rows * n_chosen * experts.weight.rows));
  const ExpertLinear linear{&experts.weight,
                            tensor(out, rows * n_chosen, experts.weight.rows),
                            {experts.bias.data(), static_cast<int64_t>(experts.bias.size())}};
  ops.expert_matmul(x, {choice.experts.data(), choice.weights.data(), rows, n_chosen}, {&linear, 1});
  return out;
}

TEST_P(CpuExpertsTest, ProductsAgreeWithTheirDefinitionAndNotWithTheBatch) {
  using enum ElementType;
  constexpr int64_t kRows = 37, kOut = 50, kCols = 256, kExperts = 6;
  constexpr int32_t kChosen = 3;
  for (const ElementType type : {kF32, kBF16, kQ8_0, kQ4_K}) {
    for (const bool per_pair : {false, true}) {
      SCOPED_TRACE(::testing::Message() << info(type).name << (per_pair ? " per pair" : ""));
      const Experts together(*ops_, type, kExperts, kOut, kCols, false);
      const Experts apart(*ops_, type, kExperts, kOut, kCols, true);
      auto logits = random_floats(kRows * kExperts, 7);
      for (int64_t r = 0; r < kRows; ++r) logits[static_cast<size_t>(r * kExperts + 4)] -= 100.0f;  // 4 unused
      Choice choice;
      ops_->route(tensor(logits, kRows, kExperts), {}, choice.routing(kRows, kChosen));
      const int64_t x_rows = kRows * (per_pair ? kChosen : 1);
      auto x = random_floats(static_cast<size_t>(x_rows * kCols), 1);
      const auto out = multiply(*ops_, tensor(x, x_rows, kCols), choice, kRows, kChosen, together);
      EXPECT_EQ(out, multiply(*ops_, tensor(x, x_rows, kCols), choice, kRows, kChosen, apart));
      const double tolerance = type == kQ8_0 || type == kQ4_K ? 0.6 : 1e-3;
      for (int64_t p = 0; p < kRows * kChosen; ++p) {
        const int64_t expert = choice.experts[static_cast<size_t>(p)];
        ASSERT_NE(expert, 4);
        const float* from = x.data() + (per_pair ? p : p / kChosen) * kCols;
        for (int64_t o = 0; o < kOut; ++o) {
          double expected = together.bias[static_cast<size_t>(expert * kOut + o)];
          const float* w = together.values.data() + (expert * kOut + o) * kCols;
          for (int64_t i = 0; i < kCols; ++i) expected += double{from[i]} * w[i];
          ASSERT_NEAR(out[static_cast<size_t>(p * kOut + o)], expected, tolerance);
        }
      }
      for (int64_t r = 0; r < kRows; ++r) {
        Choice own;
        own.routing(1, kChosen);
        std::copy_n(choice.experts.begin() + r * kChosen, kChosen, own.experts.begin());
        const int64_t n = per_pair ? kChosen : 1;
        const auto alone = multiply(*ops_, tensor(x, x_rows, kCols).row_range(r * n, n), own, 1, kChosen, together);
        const auto* batch = out.data() + r * kChosen * kOut;
        ASSERT_THAT(alone, ::testing::ElementsAreArray(batch, alone.size())) << "row " << r;
      }
    }
  }
}

TEST_P(CpuExpertsTest, CombinesByWeightInOrder) {
  Choice choice;
  const auto routing = choice.routing(2, 2);
  choice.experts = {1, 0, 0, 1};
  choice.weights = {0.5f, 2.0f, -1.0f, 0.25f};
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7, 8}, out = {100, 100, 100, 100};
  ops_->combine_experts(tensor(x, 4, 2), routing, true, tensor(out, 2, 2), false);
  EXPECT_THAT(out, ::testing::ElementsAre(6.5f, 9.0f, -3.25f, -4.0f));
  ops_->combine_experts(tensor(x, 4, 2), routing, false, tensor(out, 2, 2), true);
  EXPECT_THAT(out, ::testing::ElementsAre(10.5f, 15.0f, 8.75f, 10.0f));
  ops_->scale_pairs(tensor(x, 4, 2), routing);
  EXPECT_THAT(x, ::testing::ElementsAre(0.5f, 1.0f, 6.0f, 8.0f, -5.0f, -6.0f, 1.75f, 2.0f));
  std::vector<float> gate = {0.0f, 100.0f};
  ops_->gate_rows(tensor(out, 2, 2), tensor(gate, 2, 1));
  EXPECT_THAT(out, ::testing::ElementsAre(5.25f, 7.5f, 8.75f, 10.0f));
}

}  // namespace
}  // namespace exo::ops
