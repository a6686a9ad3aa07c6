// `fastest` and `throughput` against every possible ring, and what must hold of every strategy's plans.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "cluster/explain.h"
#include "cluster/placement.h"
#include "cluster/stage_memory.h"
#include "cluster/testing/imagined_cluster.h"

namespace exo::cluster {
namespace {

using testing::device;
using testing::kGiB;
using testing::kMiB;
using testing::model;
using testing::numbered_id;
using Random = std::mt19937_64;

struct Case {
  wire::ModelFacts model;
  std::vector<PlacementDevice> devices;
  std::vector<PlacementLink> links;
  PlacementRequest request;
};

double between(Random& random, double low, double high) {
  return std::uniform_real_distribution<double>(low, high)(random);
}

Case random_case(Random& random, uint32_t most_devices, int32_t most_layers) {
  Case c;
  const auto layers = static_cast<int32_t>(1 + random() % static_cast<uint64_t>(most_layers));
  c.model = model(layers, 0, random() % (60 * kMiB), random() % (60 * kMiB));
  const bool uniform = random() % 2 == 0;
  for (auto& bytes : c.model.layer_bytes) bytes = uniform ? 20 * kMiB : 5 * kMiB + random() % (40 * kMiB);
  for (auto& bytes : c.model.kv_bytes_per_position) bytes = uniform ? 512 : random() % 2048;
  c.model.d_model = 1024;
  const auto n = static_cast<uint32_t>(1 + random() % most_devices);
  const bool alike = random() % 4 == 0;
  for (uint32_t i = 1; i <= n; ++i) {
    auto d = device(i, 60 * kMiB + random() % (300 * kMiB));
    if (!alike) d.profile.memory_bandwidth_bytes_per_s = between(random, 1e9, 50e9);
    if (alike) d.profile.memory_budget_bytes = 200 * kMiB;
    c.devices.push_back(std::move(d));
  }
  const bool slow_links = random() % 2 == 0, equal_links = random() % 3 == 0;
  for (uint32_t a = 1; a <= n; ++a) {
    for (uint32_t b = a + 1; b <= n; ++b) {
      const double round_trip = equal_links ? 1e-3 : between(random, 1e-4, 10e-3);
      c.links.push_back({numbered_id(a), numbered_id(b), round_trip, slow_links ? between(random, 2e5, 5e6) : 1e9});
    }
  }
  c.request.max_batch_rows = 64;
  c.request.context_tokens = static_cast<int32_t>(random() % 20'000);
  c.request.concurrency = 1;
  if (random() % 4 == 0) c.request.min_stages = static_cast<int32_t>(1 + random() % 3);
  return c;
}

double transfer_ms(const Case& c, const NodeId& a, const NodeId& b) {
  for (const auto& link : c.links) {
    if ((link.a == a && link.b == b) || (link.a == b && link.b == a)) {
      return 4e3 * c.model.d_model / link.bandwidth_bytes_per_s;
    }
  }
  return 0;
}

double bottleneck_ms(const Case& c, const Plan& plan) {
  double most = plan.slowest_stage_ms;
  for (size_t i = 0; i + 1 < plan.stages.size(); ++i) {
    most = std::max(most, transfer_ms(c, plan.stages[i].device.id, plan.stages[i + 1].device.id));
  }
  return most;
}

// Every order of every set of devices with every split, placed by hand.
class EveryRing {
 public:
  explicit EveryRing(const Case& c) : case_(c), request_(c.request) {
    request_.strategy = Strategy::kManual;
    extend(0);
  }
  double least_sum = 1e300, least_bottleneck = 1e300;
  double least_sum_of_least_bottleneck = 1e300;

 private:
  void extend(int32_t placed) {
    if (placed == case_.model.n_layers) return look();
    for (const auto& d : case_.devices) {
      const bool used = std::any_of(request_.manual.begin(), request_.manual.end(),
                                    [&](const ManualStage& stage) { return stage.node == d.name; });
      if (used) continue;
      for (int32_t n = 1; placed + n <= case_.model.n_layers; ++n) {
        request_.manual.push_back({d.name, n});
        extend(placed + n);
        request_.manual.pop_back();
      }
    }
  }
  void look() {
    if (request_.manual.size() < static_cast<size_t>(case_.request.min_stages)) return;
    const auto plan = place(case_.model, case_.devices, case_.links, request_);
    if (!plan) return;
    const double bottleneck = bottleneck_ms(case_, *plan);
    least_sum = std::min(least_sum, plan->ms_per_token);
    if (bottleneck < least_bottleneck * (1 - 1e-8)) {
      least_bottleneck = bottleneck;
      least_sum_of_least_bottleneck = plan->ms_per_token;
    } else if (bottleneck < least_bottleneck * (1 + 1e-8)) {
      least_sum_of_least_bottleneck = std::min(least_sum_of_least_bottleneck, plan->ms_per_token);
    }
  }

  const Case& case_;
  PlacementRequest request_;
};

TEST(ExactSearch, FastestAndThroughputAreTheBestOfAllRings) {
  Random random(11);
  int placed = 0, refused = 0, stages = 0;
  for (int round = 0; round < 400; ++round) {
    SCOPED_TRACE(round);
    Case c = round < 40 ? random_case(random, 5, 8) : random_case(random, 4, 6);
    const EveryRing every(c);
    c.request.strategy = Strategy::kFastest;
    const auto fastest = place(c.model, c.devices, c.links, c.request);
    c.request.strategy = Strategy::kThroughput;
    const auto throughput = place(c.model, c.devices, c.links, c.request);
    ASSERT_EQ(fastest.has_value(), every.least_sum < 1e300);
    ASSERT_EQ(throughput.has_value(), every.least_sum < 1e300);
    if (!fastest) {
      ++refused;
      continue;
    }
    ++placed;
    stages += static_cast<int>(fastest->stages.size());
    EXPECT_TRUE(fastest->optimal);
    EXPECT_NEAR(fastest->ms_per_token, every.least_sum, 1e-7 * every.least_sum);
    EXPECT_NEAR(bottleneck_ms(c, *throughput), every.least_bottleneck, 1e-7 * every.least_bottleneck);
    EXPECT_NEAR(throughput->ms_per_token, every.least_sum_of_least_bottleneck, 1e-6 * every.least_sum);
  }
  EXPECT_GT(placed, 200);
  EXPECT_GT(refused, 20);
  EXPECT_GT(stages, placed + placed / 4) << "the cases must need rings";
}

void check_plan(const Case& c, const Plan& plan) {
  const auto memory = *StageMemory::of(c.model, c.request);
  int32_t next = 0;
  std::vector<NodeId> used;
  for (const auto& stage : plan.stages) {
    EXPECT_EQ(stage.layers.begin.value, next);
    EXPECT_GT(stage.layers.size(), 0);
    next = stage.layers.end.value;
    double shares = 0;
    for (const auto& member : stage.members) {
      shares += member.share;
      EXPECT_GT(member.share, 0);
      EXPECT_LE(member.weight_bytes + member.kv_bytes + member.activation_bytes,
                StageMemory::usable(member.budget_bytes));
      used.push_back(member.device.id);
    }
    EXPECT_NEAR(shares, 1, 1e-9);
    if (stage.members.size() == 1) {
      EXPECT_TRUE(memory.fits(stage.layers.begin.value, next, stage.budget_bytes));
    }
  }
  EXPECT_EQ(next, c.model.n_layers);
  EXPECT_EQ(used.size() + plan.unused.size(), c.devices.size());
  EXPECT_GE(used.size(), static_cast<size_t>(c.request.min_stages));
  std::sort(used.begin(), used.end());
  EXPECT_EQ(std::adjacent_find(used.begin(), used.end()), used.end()) << "a device twice";
  EXPECT_GT(plan.ms_per_token, 0);
  EXPECT_GT(plan.ttft_ms, 0);
  EXPECT_GT(plan.tokens_per_s, 0);
}

TEST(Strategies, PropertiesOnRandomClusters) {
  Random random(12);
  int placed = 0;
  for (int round = 0; round < 150; ++round) {
    Case c = random_case(random, round % 10 == 0 ? 24 : 7, 40);
    c.model.tensor_parallel_parts = 8;
    c.request.concurrency = static_cast<int32_t>(1 + random() % 16);
    Case shuffled = c;
    std::shuffle(shuffled.devices.begin(), shuffled.devices.end(), random);
    std::shuffle(shuffled.links.begin(), shuffled.links.end(), random);
    for (const auto strategy : {Strategy::kRingMemoryWeighted, Strategy::kFastest, Strategy::kThroughput,
                                Strategy::kTensorParallel, Strategy::kHybrid, Strategy::kSingle, Strategy::kAuto}) {
      SCOPED_TRACE(fmt::format("round {} {}", round, to_string(strategy)));
      c.request.strategy = shuffled.request.strategy = strategy;
      const auto plan = place(c.model, c.devices, c.links, c.request);
      const auto same = place(shuffled.model, shuffled.devices, shuffled.links, shuffled.request);
      ASSERT_EQ(plan.has_value(), same.has_value());
      if (!plan) {
        EXPECT_EQ(plan.error().message, same.error().message);
        EXPECT_FALSE(plan.error().message.empty());
        continue;
      }
      ++placed;
      EXPECT_EQ(plan->planned_stages(), same->planned_stages());
      EXPECT_EQ(plan->ms_per_token, same->ms_per_token);
      check_plan(c, *plan);
    }
  }
  EXPECT_GT(placed, 300);
}

TEST(Strategies, BetterOnesAreNeverWorseByTheirMeasure) {
  Random random(13);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE(round);
    Case c = random_case(random, 10, 30);
    c.request.concurrency = 8;
    c.model.tensor_parallel_parts = round % 2 == 0 ? 16 : 1;  // 1: without groups
    const auto with = [&](Strategy strategy, Objective objective = Objective::kLatency) {
      c.request.strategy = strategy;
      c.request.objective = objective;
      return place(c.model, c.devices, c.links, c.request);
    };
    const auto weighted = with(Strategy::kRingMemoryWeighted), fastest = with(Strategy::kFastest);
    ASSERT_GE(fastest.has_value(), weighted.has_value());
    if (!fastest) continue;
    const auto hybrid = with(Strategy::kHybrid);
    ASSERT_TRUE(hybrid);
    EXPECT_LE(hybrid->ms_per_token, fastest->ms_per_token * (1 + 1e-9));
    const auto latency = with(Strategy::kAuto), tokens = with(Strategy::kAuto, Objective::kThroughput),
               first = with(Strategy::kAuto, Objective::kTtft);
    ASSERT_TRUE(latency && tokens && first);
    for (const auto& other : {weighted, fastest, hybrid, with(Strategy::kThroughput), with(Strategy::kSingle)}) {
      if (!other) continue;
      EXPECT_LE(latency->ms_per_token, other->ms_per_token * (1 + 1e-9));
      EXPECT_GE(tokens->tokens_per_s, other->tokens_per_s * (1 - 1e-9));
      EXPECT_LE(first->ttft_ms, other->ttft_ms * (1 + 1e-9));
    }
    if (round % 2 == 0) continue;
    for (const auto& plan : {hybrid, latency}) {
      for (const auto& stage : plan->stages) EXPECT_EQ(stage.members.size(), 1u);
    }
  }
}

TEST(Strategies, GroupsAreOnlyForModelsThatCanBeDivided) {
  const std::vector devices{device(1, 8 * kGiB), device(2, 8 * kGiB)};
  const std::vector<PlacementLink> links{{numbered_id(1), numbered_id(2), 1e-6, 10e9}};
  PlacementRequest request{.strategy = Strategy::kHybrid};
  auto m = model(16, 100 * kMiB);
  m.tensor_parallel_parts = 1;
  EXPECT_EQ(place(m, devices, links, request)->stages.size(), 1u);
  EXPECT_EQ(place(m, devices, links, request)->stages[0].members.size(), 1u);
  request.strategy = Strategy::kTensorParallel;
  EXPECT_EQ(place(m, devices, links, request).error().code, ErrorCode::kInvalidArgument);
  m.tensor_parallel_parts = 8;
  const auto alone = place(m, std::span(devices).first(1), {}, request);
  ASSERT_TRUE(alone) << alone.error().message;
  EXPECT_EQ(alone->stages[0].members.size(), 1u) << "all that is left of a group";
  const auto group = place(m, devices, links, request);
  ASSERT_TRUE(group);
  EXPECT_EQ(group->stages[0].members.size(), 2u);
  const auto planned = group->planned_stages();
  ASSERT_EQ(planned[0].members.size(), 2u);
  EXPECT_EQ(planned[0].members[0].node, planned[0].node);
  EXPECT_EQ(planned[0].members[0].share + planned[0].members[1].share, wire::StageMember::kWholeShare);
  request.strategy = Strategy::kAuto;
  const auto chosen = place(m, devices, links, request);
  EXPECT_EQ(chosen->stages[0].members.size(), 2u);
  EXPECT_LT(chosen->ms_per_token, place(m, devices, links, {.strategy = Strategy::kSingle})->ms_per_token);
}

TEST(Strategies, ASlowDeviceIsLeftOutAndASlowLinkAvoided) {
  // The third device is slow; the model fits on the two fast ones, of which the second is behind a slow link.
  std::vector devices{device(1, 8 * kGiB, 200e9), device(2, 8 * kGiB, 100e9), device(3, 32 * kGiB, 2e9)};
  const std::vector<PlacementLink> links{{numbered_id(1), numbered_id(2), 1e-3, 1e9},
                                         {numbered_id(1), numbered_id(3), 1e-3, 1e9},
                                         {numbered_id(2), numbered_id(3), 1e-3, 1e9}};
  const auto m = model(10, kGiB);
  PlacementRequest request{.strategy = Strategy::kFastest, .compare = true};
  const auto plan = place(m, devices, links, request);
  ASSERT_TRUE(plan);
  ASSERT_EQ(plan->stages.size(), 2u);
  EXPECT_EQ(plan->unused, std::vector<std::string>{"device-3"});
  // As much as possible on the fast one.
  for (const auto& stage : plan->stages) {
    EXPECT_EQ(stage.layers.size(), stage.device.id == numbered_id(1) ? 7 : 3);
  }
  ASSERT_EQ(plan->alternatives.size(), 5u);
  const std::string text = explain(*plan, m);
  for (const char* part : {"without a stage: device-3", "single", "ring-memory-weighted", "tokens/s alone"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
}

TEST(Strategies, LargerThanMemoryOnlyWhenAsked) {
  const std::vector devices{device(1, 2 * kGiB), device(2, 2 * kGiB)};
  const auto m = model(10, 500 * kMiB);
  for (const auto strategy : {Strategy::kFastest, Strategy::kThroughput, Strategy::kRingMemoryWeighted}) {
    const auto refused = place(m, devices, {}, {.strategy = strategy});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("missing"), std::string::npos) << refused.error().message;
  }
  const auto plan = place(m, devices, {}, {.strategy = Strategy::kFastest, .larger_than_memory = true});
  ASSERT_TRUE(plan);
  uint64_t disk = 0;
  for (const auto& stage : plan->stages) disk += stage.disk_bytes;
  EXPECT_GT(disk, 0u);
  EXPECT_NE(explain(*plan, m).find("from disk"), std::string::npos);
}

// What a member says of itself is only known to be no less than nothing and finite.
TEST(Strategies, WhateverRatesMembersStateAPlanIsFoundAndIsAPlan) {
  constexpr double kRates[] = {0,   5e-324, 1e-315, 1e-307, 1e-300, 1e-150, 1e-30,  1e-6,
                               1.0, 1e6,    1e12,   1e30,   1e150,  1e300,  1.7e308};
  Random random(29);
  const auto any = [&] { return kRates[random() % std::size(kRates)]; };
  for (int i = 0; i < 300; ++i) {
    SCOPED_TRACE(i);
    Case c = random_case(random, 5, 12);
    for (auto& d : c.devices) {
      auto& p = d.profile;
      for (double* rate : {&p.memory_bandwidth_bytes_per_s, &p.int8_ops_per_s, &p.f32_flops_per_s,
                           &p.disk_bytes_per_s, &p.step_overhead_s, &p.decode_correction, &p.prefill_correction})
        *rate = any();
      p.format_rates = {{"Q8_0", any(), any(), any()}};
      d.stage_times = {{c.model.fingerprint, {LayerIndex(0), LayerIndex(1)}, any(), any()}};
    }
    for (auto& link : c.links) link.bandwidth_bytes_per_s = any(), link.round_trip_s = any();
    c.request.concurrency = static_cast<int32_t>(1 + random() % 32);
    for (const auto strategy : {Strategy::kRingMemoryWeighted, Strategy::kFastest, Strategy::kThroughput,
                                Strategy::kTensorParallel, Strategy::kHybrid, Strategy::kSingle, Strategy::kAuto}) {
      SCOPED_TRACE(to_string(strategy));
      c.request.strategy = strategy;
      c.request.objective = static_cast<Objective>(random() % 3);
      const auto plan = place(c.model, c.devices, c.links, c.request);
      if (!plan) continue;  // no room
      int32_t end = 0;
      for (const auto& stage : plan->stages) {
        EXPECT_EQ(stage.layers.begin.value, end);
        end = stage.layers.end.value;
        EXPECT_LT(stage.layers.begin, stage.layers.end);
      }
      EXPECT_EQ(end, c.model.n_layers);
      for (const double number : {plan->ms_per_token, plan->ttft_ms, plan->tokens_per_s, plan->tokens_per_s_one})
        EXPECT_TRUE(std::isfinite(number) && number >= 0) << number;
      EXPECT_FALSE(explain(*plan, c.model).empty());
    }
  }
}

}  // namespace
}  // namespace exo::cluster
