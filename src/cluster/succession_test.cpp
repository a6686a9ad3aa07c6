// A ring that works is replaced without ending first.

#include <gtest/gtest.h>

#include "cluster/rebalance.h"
#include "cluster/testing/simulated_cluster.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;
using testing::SimulatedCluster;
using testing::small_model;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class SuccessionTest : public ::testing::Test {
 protected:
  SuccessionTest() { sim.models = {small_model("demo", 12, kMiB)}; }

  const std::string& model() { return sim.models[0].fingerprint; }
  void start(std::initializer_list<uint32_t> numbers, uint64_t memory) {
    for (uint32_t n : numbers) sim.start(n, memory);
    sim.advance(2s);
  }
  void place(int32_t min_stages) {
    PlacementRequest request;
    request.context_tokens = sim.options.placement.context_tokens;
    request.min_stages = min_stages;
    ASSERT_TRUE(sim.living.begin()->second->cluster.ensure_instance(model(), request));
    ASSERT_TRUE(sim.clock.run_until([&] { return all([](const auto& view) { return view.ready; }); }, 5s));
  }
  InstanceView view(uint32_t n) { return *sim[n].cluster.find_instance(model()); }
  std::vector<uint32_t> ring(uint32_t n) {
    std::vector<uint32_t> result;
    for (const auto& stage : view(n).record.stages)
      for (uint32_t k = 1; k < 10; ++k)
        if (sim.id(k) == stage.node) result.push_back(k);
    std::ranges::sort(result);
    return result;
  }
  template <typename Condition>
  bool all(Condition condition) {
    for (auto& [n, node] : sim.living) {
      const auto seen = node->cluster.find_instance(model());
      if (!seen || !condition(*seen)) return false;
    }
    return true;
  }

  SimulatedCluster sim{1};
};

TEST_F(SuccessionTest, AnEpochServesUntilTheNextIsReady) {
  sim.load_time = 500ms;
  start({1, 2, 3}, 64 * kMiB);
  place(2);
  const Epoch before = view(1).record.epoch;
  PlacementRequest request;
  request.min_stages = 3;
  ASSERT_TRUE(sim[2].cluster.replan_instance(model(), request));
  sim.advance(100ms);
  ASSERT_TRUE(all([&](const auto& seen) { return seen.record.epoch > before; }));
  ASSERT_TRUE(all([&](const auto& seen) { return !seen.ready && seen.previous_ready; }));
  EXPECT_EQ(serving_view(view(3)).record.epoch, before);
  EXPECT_TRUE(serving_view(view(3)).ready);
  bool served = true;
  const bool ready = sim.clock.run_until(
      [&] {
        served = served && all([](const auto& seen) { return seen.serves(); });
        return all([](const auto& seen) { return seen.ready; });
      },
      3s);
  EXPECT_TRUE(ready && served);
  sim.advance(1s);
  for (uint32_t n : {1u, 2u, 3u}) {
    EXPECT_FALSE(view(n).previous_ready);
    EXPECT_EQ(sim[n].host.n_loaded(), 1u) << "node " << n;
    EXPECT_EQ(sim[n].cluster.self().stages.size(), 1u);
  }
}

TEST_F(SuccessionTest, WithoutRoomForBothTheOldOneEndsFirst) {
  start({1, 2}, 10 * kMiB);
  place(1);
  const Epoch before = view(1).record.epoch;
  PlacementRequest request;
  // 36,800 positions × 6 layers × 16 bytes: 3.4 MiB beside 6 MiB of weights in 9.7 MiB, but not another 0.4 as
  // well.
  request.context_tokens = 36'800;
  ASSERT_TRUE(sim[1].cluster.replan_instance(model(), request));
  EXPECT_GT(view(1).record.epoch, before);
  EXPECT_FALSE(view(1).record.previous);
  EXPECT_TRUE(sim.clock.run_until([&] { return all([](const auto& seen) { return seen.ready; }); }, 2s));
}

TEST_F(SuccessionTest, ADeviceThatWithdrawsIsReplacedWhileItServes) {
  start({1, 2, 3, 4}, 64 * kMiB);
  sim.options.placement.min_stages = 1;
  place(3);
  const uint32_t leaver = ring(1).front();
  auto& node = sim[leaver];
  EXPECT_EQ(node.cluster.holds().size(), 1u);
  EXPECT_EQ(node.cluster.holds()[0].problem, "");
  node.cluster.withdraw("battery at 8 %");
  bool served = true;
  ASSERT_TRUE(sim.clock.run_until(
      [&] {
        served = served && all([](const auto& seen) { return seen.serves(); });
        return node.cluster.holds().empty();
      },
      5s));
  EXPECT_TRUE(served);
  EXPECT_EQ(std::ranges::count(ring(leaver == 1 ? 2 : 1), leaver), 0);
  EXPECT_EQ(node.host.n_loaded(), 0u);
  const Epoch moved = view(leaver).record.epoch;
  sim.leave(leaver);
  sim.advance(3s);
  EXPECT_EQ(view(leaver == 1 ? 2 : 1).record.epoch, moved) << "its leave changes nothing any more";
}

TEST_F(SuccessionTest, ADeviceThatIsNeededStaysUntilItGoes) {
  start({1, 2}, 10 * kMiB);
  place(2);
  const Epoch before = view(1).record.epoch;
  sim[2].cluster.withdraw("stopped");
  sim.advance(5s);
  EXPECT_EQ(view(1).record.epoch, before);
  EXPECT_TRUE(view(1).ready);
  EXPECT_NE(sim[2].cluster.holds().at(0).problem.find("missing"), std::string::npos);
  sim.leave(2);
  sim.advance(1s);
  EXPECT_NE(view(1).record.problem, "");
}

TEST_F(SuccessionTest, AWithdrawnDeviceMayTakePartAgain) {
  start({1, 2}, 10 * kMiB);
  sim[2].cluster.withdraw("battery at 8 %");
  sim.advance(1s);
  const auto refused = sim[1].cluster.ensure_instance(model());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("battery at 8 %"), std::string::npos);
  sim[2].cluster.withdraw("");
  sim.advance(1s);
  EXPECT_TRUE(sim[1].cluster.ensure_instance(model()));
}

TEST_F(SuccessionTest, ASuccessorThatCannotLoadLeavesTheRingServing) {
  start({1, 2}, 64 * kMiB);
  place(2);
  sim.start(3, 64 * kMiB).host.set_failure([](const auto&, int32_t) {
    return std::optional<std::string>("disk is full");
  });
  sim.advance(2s);
  PlacementRequest request;
  request.min_stages = 3;
  ASSERT_TRUE(sim[1].cluster.replan_instance(model(), request));
  for (int i = 0; i < 200; ++i) {
    sim.advance(10ms);
    ASSERT_TRUE(view(1).serves()) << i;
  }
  EXPECT_TRUE(view(1).ready);
  EXPECT_EQ(ring(1), (std::vector<uint32_t>{1, 2}));
}

TEST_F(SuccessionTest, ADeathOfTheOldRingWhileTheNewOneLoadsIsNoNewEpoch) {
  sim.load_time = 800ms;
  start({1, 2, 3}, 64 * kMiB);
  place(3);
  const uint32_t leaver = 3;
  sim[leaver].cluster.withdraw("stopped");
  sim.advance(300ms);
  const Epoch next = view(1).record.epoch;
  ASSERT_TRUE(view(1).record.previous);
  sim.kill(leaver);
  sim.advance(200ms);
  EXPECT_FALSE(view(1).serves());
  sim.advance(2s);
  EXPECT_TRUE(view(1).ready);
  EXPECT_EQ(view(1).record.epoch, next);
}

TEST_F(SuccessionTest, AJoinThatPaysIsUsedOnce) {
  sim.options.rebalance = true;
  sim.options.rebalance_gain = 0.03;
  sim.models[0].layer_bytes.assign(12, 100 * kMiB);
  start({1}, 8192 * kMiB);
  place(1);
  sim.start(2, 8192 * kMiB);
  sim.advance(2s);
  EXPECT_EQ(ring(1).size(), 1u) << "its links are still being measured";
  sim.advance(12s);
  EXPECT_EQ(ring(1).size(), 2u);
  const Epoch last = view(1).record.epoch;
  sim.advance(10min);
  EXPECT_EQ(view(1).record.epoch, last) << "what is best stays";
}

TEST(PredictedGain, IsMeasuredByWhatTheStrategyIsFor) {
  Plan now, next;
  now.ms_per_token = 100, now.tokens_per_s = 10, now.ttft_ms = 1000;
  next.ms_per_token = 80, next.tokens_per_s = 15, next.ttft_ms = 500;
  const auto gain = [&](Strategy strategy, Objective objective = Objective::kLatency) {
    next.strategy = strategy;
    next.objective = objective;
    return predicted_gain(now, next);
  };
  EXPECT_DOUBLE_EQ(gain(Strategy::kFastest), 0.25);
  EXPECT_DOUBLE_EQ(gain(Strategy::kThroughput), 0.5);
  EXPECT_DOUBLE_EQ(gain(Strategy::kAuto), 0.25);
  EXPECT_DOUBLE_EQ(gain(Strategy::kAuto, Objective::kTtft), 1);
  EXPECT_DOUBLE_EQ(gain(Strategy::kAuto, Objective::kThroughput), 0.5);
  EXPECT_DOUBLE_EQ(gain(Strategy::kRingMemoryWeighted), 0.5);
  EXPECT_DOUBLE_EQ(gain(Strategy::kManual), 0);
  next.ms_per_token = 120;
  EXPECT_DOUBLE_EQ(gain(Strategy::kRingMemoryWeighted), 0) << "one request would be slower";
}

}  // namespace
}  // namespace exo::cluster
