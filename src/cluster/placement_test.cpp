#include "cluster/placement.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

#include "cluster/explain.h"
#include "cluster/stage_memory.h"
#include "cluster/testing/imagined_cluster.h"

namespace exo::cluster {
namespace {

using testing::device;
using testing::kGiB;
using testing::kMiB;
using testing::model;

NodeId id(uint32_t n) { return testing::numbered_id(n); }

std::vector<int32_t> counts(const Result<Plan>& plan) {
  std::vector<int32_t> result;
  if (!plan) ADD_FAILURE() << plan.error().message;
  if (plan) {
    for (const auto& stage : plan->stages) result.push_back(stage.layers.size());
  }
  return result;
}

using Counts = std::vector<int32_t>;

TEST(RingMemoryWeighted, SplitsInProportionToMemory) {
  // 126 × 192/448 = 54, 126 × 128/448 = 36.
  const auto plan = place(model(126, kGiB),
                          std::vector{device(1, 128 * kGiB), device(2, 192 * kGiB), device(3, 128 * kGiB)}, {}, {});
  EXPECT_EQ(counts(plan), (Counts{54, 36, 36}));
  EXPECT_EQ(plan->stages[0].device.id, id(2));
  EXPECT_EQ(plan->stages[1].device.id, id(3));  // of equal memory, the higher id first
  EXPECT_EQ(plan->stages[2].device.id, id(1));
}

TEST(RingMemoryWeighted, RoundsByTheLargestRemainder) {
  // 10 × 5/10 = 5, 10 × 3/10 = 3, 10 × 2/10 = 2; then 11: 5.5, 3.3, 2.2 → the first gets the odd one.
  const std::vector devices{device(1, 50 * kGiB), device(2, 30 * kGiB), device(3, 20 * kGiB)};
  EXPECT_EQ(counts(place(model(10, kMiB), devices, {}, {})), (Counts{5, 3, 2}));
  EXPECT_EQ(counts(place(model(11, kMiB), devices, {}, {})), (Counts{6, 3, 2}));
  // 14: 7, 4.2, 2.8 → the third.
  EXPECT_EQ(counts(place(model(14, kMiB), devices, {}, {})), (Counts{7, 4, 3}));
}

TEST(RingMemoryWeighted, MoreDevicesThanLayersUsesAsManyAsLayers) {
  std::vector<PlacementDevice> devices;
  for (uint32_t i = 1; i <= 20; ++i) devices.push_back(device(i, kGiB));
  EXPECT_EQ(counts(place(model(16, kMiB), devices, {}, {})), Counts(16, 1));
}

TEST(RingMemoryWeighted, LeavesOutDevicesThatWouldGetNothing) {
  const std::vector devices{device(1, 100 * kGiB), device(2, 100 * kGiB), device(3, kGiB)};
  EXPECT_EQ(counts(place(model(10, kMiB), devices, {}, {})), (Counts{5, 5}));
}

TEST(RingMemoryWeighted, OverflowMovesToDevicesWithRoom) {
  // Proportional would be 5/5, but the first also holds an embedding of 3 layers' size.
  // 700 MiB × 31/32 = 678 MiB: the embedding and 3 layers of 100 MiB, 6 on the second.
  const std::vector devices{device(2, 700 * kMiB), device(1, 700 * kMiB)};
  EXPECT_EQ(counts(place(model(9, 100 * kMiB, 300 * kMiB), devices, {}, {})), (Counts{3, 6}));
  EXPECT_EQ(counts(place(model(9, 100 * kMiB, 0, 300 * kMiB), devices, {}, {})), (Counts{6, 3}));
}

TEST(RingMemoryWeighted, UsesASmallDeviceWhenOnlyThatMakesItFit) {
  // Proportional: 4.9, 0.45 … the small one would get none, but 5 layers of 200 MiB do not fit on the large.
  const std::vector devices{device(1, 1000 * kMiB), device(2, 230 * kMiB)};
  EXPECT_EQ(counts(place(model(5, 200 * kMiB), devices, {}, {})), (Counts{4, 1}));
}

TEST(RingMemoryWeighted, CountsTheKvCacheForTheContext) {
  auto m = model(8, kMiB);
  m.kv_bytes_per_position.assign(8, 4096);
  PlacementRequest request;
  request.context_tokens = 65536;  // 256 MiB per layer
  EXPECT_EQ(counts(place(m, std::vector{device(1, 3 * kGiB)}, {}, request)), Counts{8});
  const auto refused = place(m, std::vector{device(1, 2 * kGiB)}, {}, request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("missing"), std::string::npos) << refused.error().message;
}

TEST(RingMemoryWeighted, CountsTheStatesOfAllSequences) {
  auto m = model(4, kMiB);
  m.state_bytes = {64 * kMiB, 64 * kMiB, 64 * kMiB, 0};
  PlacementRequest request;
  request.context_tokens = 1024;
  request.max_sequences = 16;  // 3 GiB
  EXPECT_FALSE(place(m, std::vector{device(1, 3 * kGiB)}, {}, request));
  EXPECT_EQ(counts(place(m, std::vector{device(1, 4 * kGiB)}, {}, request)), Counts{4});
  m.state_bytes.pop_back();
  EXPECT_EQ(place(m, std::vector{device(1, 4 * kGiB)}, {}, request).error().code, ErrorCode::kInvalidArgument);
}

TEST(RingMemoryWeighted, SaysHowManyBytesAreMissing) {
  const auto m = model(10, kGiB);
  const auto refused = place(m, std::vector{device(1, 4 * kGiB)}, {}, {});
  ASSERT_FALSE(refused);
  const auto memory = StageMemory::of(m, {});
  const uint64_t missing = memory->need(0, 10) - StageMemory::usable(4 * kGiB);
  EXPECT_NE(refused.error().message.find(fmt::format("({} bytes)", missing)), std::string::npos)
      << refused.error().message;
}

TEST(RingMemoryWeighted, MinStagesForcesASplit) {
  const std::vector devices{device(1, 100 * kGiB), device(2, kGiB), device(3, kGiB)};
  PlacementRequest request;
  request.min_stages = 3;
  EXPECT_EQ(counts(place(model(4, kMiB), devices, {}, request)), (Counts{2, 1, 1}));
  request.min_stages = 4;
  EXPECT_EQ(place(model(4, kMiB), devices, {}, request).error().code, ErrorCode::kResourceExhausted);
  request.min_stages = 5;
  EXPECT_EQ(place(model(4, kMiB), devices, {}, request).error().code, ErrorCode::kInvalidArgument);
}

TEST(RingMemoryWeighted, NonsenseIsRefused) {
  const std::vector devices{device(1, kGiB)};
  auto m = model(4, kMiB);
  m.layer_bytes.pop_back();
  EXPECT_EQ(place(m, devices, {}, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(place(model(0, 0), devices, {}, {}).error().code, ErrorCode::kInvalidArgument);
  const auto refused = [&](const std::function<void(wire::ModelFacts&)>& bend) {
    auto bent = model(4, kMiB);
    bend(bent);
    const auto plan = place(bent, devices, {}, {.strategy = Strategy::kAuto});
    return !plan && plan.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused([](auto& f) { f.expert_bytes = {1, 2}; }));
  EXPECT_TRUE(refused([](auto& f) { f.expert_bytes.assign(4, kGiB); }));
  EXPECT_TRUE(refused([](auto& f) { f.n_experts_used = 3; }));
  EXPECT_TRUE(refused([](auto& f) { f.tensor_parallel_parts = 1 << 30; }));
  EXPECT_TRUE(refused([](auto& f) { f.attention_width = -1; }));
  EXPECT_EQ(place(model(4, UINT64_MAX), devices, {}, {}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(place(model(4, kMiB), {}, {}, {}).error().code, ErrorCode::kResourceExhausted);
}

TEST(RingMemoryWeighted, PropertiesOnRandomClusters) {
  std::mt19937_64 random(7);
  int placed = 0, refused = 0;
  for (int round = 0; round < 2000; ++round) {
    const auto layers = static_cast<int32_t>(1 + random() % 130);
    auto m = model(layers, 0, random() % (64 * kMiB), random() % (64 * kMiB));
    for (auto& bytes : m.layer_bytes) bytes = kMiB + random() % (8 * kMiB);
    std::vector<PlacementDevice> devices;
    const uint32_t n = 1 + static_cast<uint32_t>(random() % 24);
    for (uint32_t i = 0; i < n; ++i) devices.push_back(device(i + 1, random() % (200 * kMiB)));
    PlacementRequest request;
    request.context_tokens = static_cast<int32_t>(random() % 8192);
    const auto plan = place(m, devices, {}, request);
    auto shuffled = devices;
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    const auto same = place(m, shuffled, {}, request);
    ASSERT_EQ(plan.has_value(), same.has_value());
    const auto memory = *StageMemory::of(m, request);
    uint64_t have = 0;
    for (const auto& d : devices) have += StageMemory::usable(d.profile.memory_budget_bytes);
    if (!plan) {
      ++refused;
      EXPECT_EQ(plan.error().code, ErrorCode::kResourceExhausted);
      EXPECT_EQ(plan.error().message, same.error().message);
      // What is refused could not fit comfortably: half of the memory is always enough.
      EXPECT_GT(memory.need(0, layers) + n * (memory.activation_bytes(0, 0) + 16 * kMiB), have / 2) << round;
      continue;
    }
    ++placed;
    EXPECT_EQ(plan->planned_stages(), same->planned_stages());
    int32_t next = 0;
    std::vector<NodeId> used;
    for (const auto& stage : plan->stages) {
      EXPECT_EQ(stage.layers.begin.value, next);
      EXPECT_GT(stage.layers.size(), 0);
      next = stage.layers.end.value;
      EXPECT_LE(memory.need(stage.layers.begin.value, next), StageMemory::usable(stage.budget_bytes));
      used.push_back(stage.device.id);
    }
    EXPECT_EQ(next, layers);
    std::sort(used.begin(), used.end());
    EXPECT_EQ(std::adjacent_find(used.begin(), used.end()), used.end());
  }
  EXPECT_GT(placed, 200);
  EXPECT_GT(refused, 200);
}

TEST(RingMemoryWeighted, RoomyClustersFollowTheProportion) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 500; ++round) {
    const auto layers = static_cast<int32_t>(20 + random() % 100);
    std::vector<PlacementDevice> devices;
    double total = 0;
    for (uint32_t i = 0; i < 2 + random() % 8; ++i) devices.push_back(device(i + 1, (8 + random() % 120) * kGiB));
    for (const auto& d : devices) total += static_cast<double>(d.profile.memory_budget_bytes);
    const auto plan = place(model(layers, kMiB), devices, {}, {});
    ASSERT_TRUE(plan);
    for (const auto& stage : plan->stages) {
      const double quota = layers * static_cast<double>(stage.budget_bytes) / total;
      EXPECT_LT(std::abs(stage.layers.size() - quota), 1.0) << "round " << round;
    }
  }
}

TEST(Single, PrefersTheAskedThenTheFastest) {
  const std::vector devices{device(1, 8 * kGiB, 50e9), device(2, 4 * kGiB, 200e9), device(3, 2 * kGiB, 900e9)};
  PlacementRequest request{.strategy = Strategy::kSingle};
  const auto m = model(3, kGiB);
  EXPECT_EQ(place(m, devices, {}, request)->stages[0].device.id, id(2));
  request.preferred = id(1);
  EXPECT_EQ(place(m, devices, {}, request)->stages[0].device.id, id(1));
  request.preferred = id(3);  // too small
  EXPECT_EQ(place(m, devices, {}, request)->stages[0].device.id, id(2));
  EXPECT_EQ(place(model(9, kGiB), devices, {}, request).error().code, ErrorCode::kResourceExhausted);
}

TEST(Manual, DoesAsAskedAndChecks) {
  const std::vector devices{device(1, 8 * kGiB), device(2, 4 * kGiB)};
  PlacementRequest request{.strategy = Strategy::kManual};
  request.manual = {{"device-2", 3}, {id(1).hex().substr(0, 8), 5}};
  const auto plan = place(model(8, kGiB), devices, {}, request);
  EXPECT_EQ(counts(plan), (Counts{3, 5}));
  EXPECT_EQ(plan->stages[0].device.id, id(2));
  const auto code = [&](std::vector<ManualStage> manual) {
    request.manual = std::move(manual);
    const auto refused = place(model(8, kGiB), devices, {}, request);
    return refused ? ErrorCode::kInternal : refused.error().code;
  };
  EXPECT_EQ(code({{"device-2", 3}, {"device-1", 4}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"device-2", 3}, {"device-1", 6}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"device-2", 3}, {"device-2", 5}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"nobody", 8}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"0000", 8}}), ErrorCode::kInvalidArgument);  // both ids begin so
  EXPECT_EQ(code({{"device-1", 8}, {"device-2", 0}}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({{"device-1", 8}}), ErrorCode::kResourceExhausted);
}

TEST(Explain, NamesEveryStage) {
  const auto m = model(10, kGiB);
  const auto plan = place(m, std::vector{device(1, 8 * kGiB), device(2, 8 * kGiB)}, {}, {});
  ASSERT_TRUE(plan);
  const std::string text = explain(*plan, m);
  EXPECT_NE(text.find("device-1"), std::string::npos) << text;
  EXPECT_NE(text.find("0-4 (5)"), std::string::npos) << text;
  EXPECT_NE(text.find("5-9 (5)"), std::string::npos) << text;
  EXPECT_NE(text.find("5.0 GiB"), std::string::npos) << text;
}

TEST(StrategyNames, GoBothWays) {
  for (const auto strategy :
       {Strategy::kRingMemoryWeighted, Strategy::kFastest, Strategy::kThroughput, Strategy::kTensorParallel,
        Strategy::kHybrid, Strategy::kSingle, Strategy::kManual, Strategy::kAuto}) {
    EXPECT_EQ(*parse_strategy(to_string(strategy)), strategy);
  }
  const auto unknown = parse_strategy("best");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("ring-memory-weighted"), std::string::npos);
}

}  // namespace
}  // namespace exo::cluster
