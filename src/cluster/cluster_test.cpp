#include "cluster/cluster.h"

#include <gtest/gtest.h>

#include "cluster/testing/simulated_cluster.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;
using testing::SimulatedCluster;
using testing::small_model;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class ClusterTest : public ::testing::Test {
 protected:
  ClusterTest() { sim.models = {small_model("demo", 12, kMiB)}; }

  const std::string& model() { return sim.models[0].fingerprint; }
  void start_three() {
    for (uint32_t n : {1u, 2u, 3u}) sim.start(n, 16 * kMiB);
    sim.advance(2s);
  }
  bool all_ready() {
    for (auto& [n, node] : sim.living) {
      const auto view = node->cluster.find_instance(model());
      if (!view || !view->ready) return false;
    }
    return true;
  }
  void place_and_wait(uint32_t at = 1, int32_t min_stages = 3) {
    PlacementRequest request;
    request.min_stages = min_stages;
    const auto status = sim[at].cluster.ensure_instance(model(), request);
    ASSERT_TRUE(status) << status.error().message;
    ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 5s));
  }
  wire::InstanceRecord record(uint32_t n) { return sim[n].cluster.find_instance(model())->record; }
  std::vector<NodeId> ring(uint32_t n) {
    std::vector<NodeId> result;
    for (const auto& stage : record(n).stages) result.push_back(stage.node);
    std::sort(result.begin(), result.end());
    return result;
  }
  static NodeId id(uint32_t n) { return SimulatedCluster::id(n); }

  SimulatedCluster sim{1};
};

TEST_F(ClusterTest, NodesLearnOfEachOther) {
  start_three();
  for (uint32_t n : {1u, 2u, 3u}) {
    const auto members = sim[n].cluster.members();
    ASSERT_EQ(members.size(), 3u);
    EXPECT_EQ(members[0].id, id(n));
    EXPECT_EQ(sim[n].cluster.models().size(), 1u);
    EXPECT_EQ(sim[n].cluster.find_member(id(3))->name, "node-3");
  }
}

TEST_F(ClusterTest, RoundTripsAreMeasured) {
  sim.network.set_default_quality({.latency = 5ms});
  start_three();
  ASSERT_EQ(sim[1].cluster.self().links.size(), 2u);
  EXPECT_NEAR(sim[1].cluster.self().links[0].round_trip_us, 10'000, 200);
  EXPECT_NEAR(sim[2].cluster.find_member(id(1))->links[0].round_trip_us, 10'000, 200);
}

TEST_F(ClusterTest, AChangeOfFactsReachesAll) {
  start_three();
  sim[2].cluster.update_self([](wire::NodeFacts& self) { self.tokens_per_s = 7; });
  sim.advance(200ms);
  EXPECT_EQ(sim[1].cluster.find_member(id(2))->tokens_per_s, 7);
  EXPECT_EQ(sim[3].cluster.find_member(id(2))->tokens_per_s, 7);
}

TEST_F(ClusterTest, WithoutADirectLinkFactsAreRelayed) {
  sim.network.cut(id(1), id(3));
  start_three();
  ASSERT_NE(sim[1].cluster.find_member(id(3)), nullptr);
  ASSERT_NE(sim[3].cluster.find_member(id(1)), nullptr);
  sim[3].cluster.update_self([](wire::NodeFacts& self) { self.tokens_per_s = 9; });
  sim.advance(200ms);
  EXPECT_EQ(sim[1].cluster.find_member(id(3))->tokens_per_s, 9);
  sim.kill(2);
  sim.advance(2s);
  EXPECT_EQ(sim[1].cluster.find_member(id(3)), nullptr);
}

TEST_F(ClusterTest, DeathIsNoticed) {
  start_three();
  sim.kill(3);
  sim.advance(100ms);
  EXPECT_EQ(sim[1].cluster.members().size(), 2u);
  sim.power_off(2);
  sim.advance(1s);
  EXPECT_EQ(sim[1].cluster.members().size(), 2u);
  sim.advance(600ms);
  EXPECT_EQ(sim[1].cluster.members().size(), 1u);
}

TEST_F(ClusterTest, GoodbyeIsNoticedAtOnce) {
  start_three();
  sim.leave(3);
  EXPECT_EQ(sim[1].cluster.members().size(), 2u);
  EXPECT_EQ(sim[2].cluster.members().size(), 2u);
}

TEST_F(ClusterTest, ARestartedNodeReplacesTheOlder) {
  start_three();
  sim.power_off(3);
  sim.start(3, 99 * kMiB);
  sim.advance(1s);
  for (uint32_t n : {1u, 2u}) {
    ASSERT_NE(sim[n].cluster.find_member(id(3)), nullptr);
    EXPECT_EQ(sim[n].cluster.find_member(id(3))->device.memory_budget_bytes, 99 * kMiB);
  }
}

TEST_F(ClusterTest, NobodySpeaksForANodeThatHasALink) {
  start_three();
  wire::NodeFacts forged = *sim[2].cluster.find_member(id(3));
  forged.incarnation = UINT64_MAX;
  forged.leaving = true;
  forged.name = "forged";
  ASSERT_TRUE(sim[2].link.transport().send(id(1), wire::Gossip{{forged}, {}}));
  sim.advance(2s);
  ASSERT_NE(sim[1].cluster.find_member(id(3)), nullptr);
  EXPECT_EQ(sim[1].cluster.find_member(id(3))->name, "node-3");
  // Hearsay about a node without a link here lasts until the node itself speaks.
  forged.id = id(4);
  forged.leaving = false;
  ASSERT_TRUE(sim[2].link.transport().send(id(1), wire::Gossip{{forged}, {}}));
  sim.advance(100ms);
  sim.start(4, 55 * kMiB);
  sim.advance(2s);
  ASSERT_NE(sim[1].cluster.find_member(id(4)), nullptr);
  EXPECT_EQ(sim[1].cluster.find_member(id(4))->name, "node-4");
  EXPECT_EQ(sim[1].cluster.find_member(id(4))->device.memory_budget_bytes, 55 * kMiB);
}

TEST_F(ClusterTest, ANodeWhoseIncarnationWentBackIsHeardAgain) {
  start_three();
  sim.kill(3);
  sim.incarnations[3] = 0;
  sim[1].cluster.update_self([](wire::NodeFacts&) {});
  sim.start(3, 8 * kMiB);
  sim.advance(1s);
  sim.kill(3);
  sim.incarnations[3] = 0;
  sim.start(3, 77 * kMiB);
  sim.advance(3s);
  ASSERT_NE(sim[1].cluster.find_member(id(3)), nullptr);
  EXPECT_EQ(sim[1].cluster.find_member(id(3))->device.memory_budget_bytes, 77 * kMiB);
}

TEST_F(ClusterTest, AnInstanceIsPlacedAndLoadedOncePerEpoch) {
  start_three();
  place_and_wait();
  for (uint32_t n : {1u, 2u, 3u}) {
    EXPECT_EQ(record(n), record(1));
    EXPECT_EQ(sim[n].host.loads().size(), 1u);
    ASSERT_TRUE(sim[n].cluster.find_instance(model())->own_stage);
  }
  EXPECT_EQ(record(1).stages.size(), 3u);
  EXPECT_TRUE(sim[2].cluster.ensure_instance(model()));
  sim.advance(1s);
  EXPECT_EQ(sim[1].host.loads().size(), 1u);
}

TEST_F(ClusterTest, UnknownModelsAndTooLargeOnesAreRefused) {
  sim.models.push_back(small_model("huge", 4, 1000 * kMiB));
  start_three();
  EXPECT_EQ(sim[1].cluster.ensure_instance("nothing").error().code, ErrorCode::kNotFound);
  const auto refused = sim[1].cluster.ensure_instance(sim.models[1].fingerprint);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("missing"), std::string::npos);
}

TEST_F(ClusterTest, ADeathMakesANewEpochOnWhoIsLeft) {
  start_three();
  place_and_wait();
  const Epoch before = record(1).epoch;
  sim.kill(2);
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready() && record(1).epoch > before; }, 1s));
  EXPECT_EQ(ring(1), (std::vector{id(1), id(3)}));
  EXPECT_EQ(record(3), record(1));
}

TEST_F(ClusterTest, SilenceIsAnsweredWithinOneAndAHalfSeconds) {
  start_three();
  place_and_wait();
  const Epoch before = record(1).epoch;
  sim.network.freeze(id(1));  // the keeper itself
  ASSERT_TRUE(sim.clock.run_until([&] { return record(2).epoch > before; }, 1800ms));
  EXPECT_EQ(ring(2), (std::vector{id(2), id(3)}));
  sim.advance(1s);
  const Epoch during = record(2).epoch;
  sim.network.thaw(id(1));
  sim.advance(3s);
  // It is welcome again, does not disturb the new ring, and has given its stage back.
  EXPECT_EQ(sim[2].cluster.members().size(), 3u);
  EXPECT_EQ(record(1).epoch, during);
  EXPECT_EQ(record(2).epoch, during);
  EXPECT_EQ(sim[1].host.unloads().size(), 1u);
}

// As when one laptop runs them all, or a machine is too busy for any of them: they were silent, and deaf as well.
TEST_F(ClusterTest, WhoWereStoppedTogetherDoNotGiveEachOtherUp) {
  for (const net::Duration stopped : {300ms, 600ms, 900ms, 1100ms, 2000ms, 90000ms}) {
    start_three();
    place_and_wait();
    const Epoch before = record(1).epoch;
    for (const uint32_t n : {1, 2, 3}) sim.network.freeze(id(n));
    sim.advance(stopped);
    for (const uint32_t n : {2, 3, 1}) sim.network.thaw(id(n));
    for (int i = 0; i < 20; ++i) {
      sim.advance(100ms);
      for (const uint32_t n : {1, 2, 3}) ASSERT_EQ(sim[n].link.transport().links().size(), 2u) << stopped.count();
    }
    EXPECT_EQ(record(1).epoch, before);
    for (const uint32_t n : {1, 2, 3}) sim.kill(n);
  }
}

TEST_F(ClusterTest, ARestartWithinTheEpochIsADeath) {
  start_three();
  place_and_wait();
  const Epoch before = record(2).epoch;
  sim.kill(1);  // the keeper, by id
  sim.start(1, 16 * kMiB);
  ASSERT_TRUE(sim.clock.run_until([&] { return record(2).epoch > before && all_ready(); }, 3s));
  EXPECT_EQ(record(1), record(2));
  EXPECT_EQ(record(3), record(2));
}

TEST_F(ClusterTest, WhatNoLongerFitsSaysWhyAndIsRetriedWhenADeviceJoins) {
  for (uint32_t n : {1u, 2u}) sim.start(n, 10 * kMiB);
  sim.advance(1s);
  ASSERT_TRUE(sim[1].cluster.ensure_instance(model()));
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 2s));
  sim.kill(2);
  sim.advance(1s);
  EXPECT_TRUE(record(1).stages.empty());
  EXPECT_NE(record(1).problem.find("missing"), std::string::npos) << record(1).problem;
  EXPECT_EQ(sim[1].host.unloads().size(), 1u);
  const Epoch stuck = record(1).epoch;
  sim.advance(10s);
  EXPECT_EQ(record(1).epoch, stuck) << "a vain attempt is not repeated without reason";
  sim.start(3, 10 * kMiB);
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 2s));
  EXPECT_EQ(ring(1), (std::vector{id(1), id(3)}));
  EXPECT_TRUE(record(1).problem.empty());
}

TEST_F(ClusterTest, AJoinDoesNotDisturbARunningInstance) {
  start_three();
  place_and_wait();
  const Epoch before = record(1).epoch;
  sim.start(4, 64 * kMiB);
  sim.advance(3s);
  EXPECT_EQ(record(4).epoch, before);
  PlacementRequest request;
  request.min_stages = 4;
  ASSERT_TRUE(sim[4].cluster.replan_instance(model(), request));
  ASSERT_TRUE(sim.clock.run_until([&] { return record(1).epoch > before && all_ready(); }, 2s));
  EXPECT_EQ(ring(1).size(), 4u);
}

TEST_F(ClusterTest, ADeviceThatCannotLoadIsLeftOutForAWhile) {
  start_three();
  int failures = 0;
  sim[2].host.set_failure([&](const wire::InstanceRecord&, int32_t) -> std::optional<std::string> {
    ++failures;
    return "disk is full";
  });
  PlacementRequest request;
  request.min_stages = 3;
  ASSERT_TRUE(sim[1].cluster.ensure_instance(model(), request));
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 3s));
  EXPECT_EQ(ring(1), (std::vector{id(1), id(3)}));
  EXPECT_EQ(failures, 1);
  sim.advance(30s);
  EXPECT_EQ(failures, 1) << "the ring that works is kept";
}

TEST_F(ClusterTest, WhenItsOnlyDeviceCannotLoadItIsTriedAgainEverMoreRarely) {
  auto& node = sim.start(1, 64 * kMiB);
  sim.advance(1s);
  int failures = 0;
  node.host.set_failure([&](const wire::InstanceRecord&, int32_t) -> std::optional<std::string> {
    if (++failures > 2) return std::nullopt;
    return "disk is full";
  });
  ASSERT_TRUE(node.cluster.ensure_instance(model()));
  sim.advance(1s);
  EXPECT_EQ(failures, 1);
  EXPECT_NE(record(1).problem.find("disk is full"), std::string::npos) << record(1).problem;
  sim.advance(6s);  // 5 s later
  EXPECT_EQ(failures, 2);
  sim.advance(7s);
  EXPECT_EQ(failures, 2);
  sim.advance(5s);  // 10 s after the second
  EXPECT_TRUE(all_ready());
}

TEST_F(ClusterTest, LoadingWithoutProgressIsGivenUp) {
  start_three();
  sim[2].host.set_load_time(1h);
  PlacementRequest request;
  request.min_stages = 3;
  ASSERT_TRUE(sim[1].cluster.ensure_instance(model(), request));
  sim.advance(59s);
  EXPECT_FALSE(all_ready());
  sim.advance(4s);
  EXPECT_TRUE(all_ready());
  EXPECT_EQ(ring(1), (std::vector{id(1), id(3)}));
}

TEST_F(ClusterTest, StoppedStaysStoppedUntilAskedFor) {
  start_three();
  place_and_wait();
  ASSERT_TRUE(sim[2].cluster.stop_instance(model()));
  sim.advance(1s);
  for (uint32_t n : {1u, 2u, 3u}) {
    EXPECT_TRUE(record(n).stopped);
    EXPECT_EQ(sim[n].host.unloads().size(), 1u);
    EXPECT_TRUE(sim[n].cluster.self().stages.empty());
  }
  sim.start(4, 64 * kMiB);
  sim.kill(3);
  sim.advance(5s);
  EXPECT_TRUE(record(1).stopped);
  ASSERT_TRUE(sim[1].cluster.ensure_instance(model()));
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 2s));
}

TEST_F(ClusterTest, ASplitClusterServesOnBothSidesAndMerges) {
  for (uint32_t n : {1u, 2u, 3u, 4u}) sim.start(n, 32 * kMiB);
  sim.advance(2s);
  place_and_wait(1, 4);
  sim.network.partition({id(1), id(2)}, {id(3), id(4)});
  sim.advance(4s);
  EXPECT_EQ(ring(1), (std::vector{id(1), id(2)}));
  EXPECT_EQ(ring(3), (std::vector{id(3), id(4)}));
  EXPECT_TRUE(all_ready());
  sim.network.heal_all();
  sim.advance(3s);
  for (uint32_t n : {2u, 3u, 4u}) EXPECT_EQ(record(n), record(1));
  EXPECT_TRUE(all_ready());
}

TEST_F(ClusterTest, StoppedOnOneSideOfASplitIsStoppedAfterTheMerge) {
  for (uint32_t n : {1u, 2u, 3u, 4u}) sim.start(n, 32 * kMiB);
  sim.advance(2s);
  place_and_wait(1, 4);
  sim.network.partition({id(1), id(2)}, {id(3), id(4)});
  sim.advance(4s);
  ASSERT_TRUE(sim[1].cluster.stop_instance(model()));
  sim.kill(4);
  sim.advance(2s);
  sim.network.heal_all();
  sim.advance(3s);
  for (uint32_t n : {1u, 2u, 3u}) EXPECT_TRUE(record(n).stopped) << n;
}

TEST_F(ClusterTest, ARingNeedsLinksBetweenItsStages) {
  sim.network.cut(id(1), id(3));
  start_three();
  PlacementRequest request;
  request.min_stages = 2;
  ASSERT_TRUE(sim[2].cluster.ensure_instance(model(), request));
  sim.advance(1s);
  const auto stages = ring(2);
  EXPECT_EQ(stages.size(), 2u);
  EXPECT_TRUE(std::find(stages.begin(), stages.end(), id(2)) != stages.end());
}

TEST_F(ClusterTest, ABrokenHopEndsTheEpoch) {
  start_three();
  place_and_wait();
  const Epoch before = record(1).epoch;
  sim.network.cut(id(1), id(3));
  sim.advance(6s);
  EXPECT_GT(record(1).epoch, before);
  for (uint32_t n : {1u, 2u, 3u}) EXPECT_EQ(record(n), record(1));
  EXPECT_EQ(record(1).stages.size(), 2u);
  EXPECT_TRUE(all_ready());
}

TEST_F(ClusterTest, WithoutTheFileNothingIsPlaced) {
  sim.start(1, 32 * kMiB);
  sim.models.clear();
  sim.start(2, 32 * kMiB);
  sim.advance(1s);
  sim.models = {small_model("demo", 12, kMiB)};
  PlacementRequest request;
  request.min_stages = 2;
  ASSERT_TRUE(sim[2].cluster.ensure_instance(model(), request));
  ASSERT_TRUE(sim.clock.run_until([&] { return all_ready(); }, 2s));
  EXPECT_EQ(sim[2].cluster.models().size(), 1u);
  sim.kill(1);
  sim.advance(1s);
  EXPECT_TRUE(record(2).stages.empty());
  EXPECT_NE(record(2).problem.find("on no device"), std::string::npos) << record(2).problem;
  EXPECT_TRUE(sim[2].cluster.models().empty());
}

}  // namespace
}  // namespace exo::cluster
