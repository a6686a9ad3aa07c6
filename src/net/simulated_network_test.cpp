#include "net/simulated_network.h"

#include <gtest/gtest.h>

#include "net/running_time.h"

namespace exo::net {
namespace {

using namespace std::chrono_literals;

struct Recorder : TransportListener {
  explicit Recorder(SimulatedNode& simulated) : node(simulated) { node.transport().add_listener(this); }
  void on_link_up(const LinkInfo& link) override { events.push_back("up " + link.peer.hex().substr(0, 8)); }
  void on_link_down(const NodeId& peer, const Error&) override {
    events.push_back("down " + peer.hex().substr(0, 8));
  }
  void on_message(const NodeId&, wire::Message message) override {
    if (const auto* ping = std::get_if<wire::Ping>(&message)) nonces.push_back(ping->nonce);
    at.push_back(node.clock().now());
  }
  SimulatedNode& node;
  std::vector<std::string> events;
  std::vector<uint64_t> nonces;
  std::vector<TimePoint> at;
};

class SimulatedNetworkTest : public testing::Test {
 protected:
  NodeId id(uint32_t n) { return simulated_node_id(n); }
  SimulatedNode& add(uint32_t n) { return network.add_node(id(n)); }
  VirtualClock clock;
  SimulatedNetwork network{clock, 1};
};

TEST(VirtualClockTest, RunsInOrderAndCancels) {
  VirtualClock clock;
  std::vector<int> order;
  clock.run_after(2s, [&] { order.push_back(2); });
  clock.run_after(1s, [&] {
    order.push_back(1);
    clock.post([&] { order.push_back(10); });
  });
  const TimerId gone = clock.run_after(1s, [&] { order.push_back(99); });
  clock.cancel(gone);
  clock.cancel(gone);
  clock.cancel(0);
  const TimePoint start = clock.now();
  clock.advance(1500ms);
  EXPECT_EQ(order, (std::vector<int>{1, 10}));
  EXPECT_EQ(clock.now() - start, 1500ms);
  EXPECT_TRUE(clock.run_until([&] { return order.size() == 3; }, 10s));
  EXPECT_EQ(clock.now() - start, 2s);
  EXPECT_FALSE(clock.run_until([] { return false; }, 5s));
  EXPECT_EQ(clock.now() - start, 7s);
}

TEST_F(SimulatedNetworkTest, LinksComeUpAndKeepOrderUnderJitter) {
  network.set_default_quality({.latency = 5ms, .jitter = 50ms});
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  EXPECT_EQ(a.events, std::vector<std::string>{"up 00000002"});
  EXPECT_EQ(b.events, std::vector<std::string>{"up 00000001"});
  for (uint64_t i = 0; i < 100; ++i) EXPECT_TRUE(a.node.transport().send(id(2), wire::Ping{i}));
  const TimePoint sent = clock.now();
  clock.advance(1s);
  ASSERT_EQ(b.nonces.size(), 100u);
  EXPECT_TRUE(std::is_sorted(b.nonces.begin(), b.nonces.end()));
  EXPECT_GE(b.at.front() - sent, 5ms);
}

TEST_F(SimulatedNetworkTest, BandwidthSetsThePace) {
  network.set_default_quality({.latency = 1ms, .bandwidth_bytes_per_s = 1e6});
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  wire::Step step;
  step.activations.resize(250'000);  // 1 MB: a second
  const TimePoint sent = clock.now();
  EXPECT_TRUE(a.node.transport().send(id(2), step));
  clock.advance(3s);
  ASSERT_EQ(b.at.size(), 1u);
  EXPECT_GT(b.at[0] - sent, 1s);
  EXPECT_LT(b.at[0] - sent, 1010ms);
}

TEST_F(SimulatedNetworkTest, AFullSendQueueClosesTheLink) {
  network.set_default_quality({.bandwidth_bytes_per_s = 1e3});
  network.set_send_queue_bound(100'000);
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  wire::Step step;
  step.activations.resize(15'000);
  EXPECT_TRUE(a.node.transport().send(id(2), step));
  EXPECT_FALSE(a.node.transport().send(id(2), step));
  clock.advance(10ms);
  EXPECT_EQ(a.events.back(), "down 00000002");
}

TEST_F(SimulatedNetworkTest, SendingToSelfComesLater) {
  Recorder a(add(1));
  EXPECT_TRUE(a.node.transport().send(id(1), wire::Ping{3}));
  EXPECT_TRUE(a.nonces.empty());
  clock.advance(1ms);
  EXPECT_EQ(a.nonces, std::vector<uint64_t>{3});
}

TEST_F(SimulatedNetworkTest, AKilledNodeIsSilentAndSeen) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  bool fired = false;
  b.node.clock().run_after(10ms, [&] { fired = true; });
  network.kill(id(2));
  clock.advance(1s);
  EXPECT_EQ(a.events.back(), "down 00000002");
  EXPECT_FALSE(fired);
  EXPECT_FALSE(b.node.transport().send(id(1), wire::Ping{}));
  EXPECT_FALSE(a.node.transport().send(id(2), wire::Ping{}));
  Recorder again(add(2));
  clock.advance(1s);
  EXPECT_EQ(a.events.back(), "up 00000002");
  EXPECT_EQ(again.events.back(), "up 00000001");
}

TEST_F(SimulatedNetworkTest, APoweredOffNodeIsNotSeenUntilGivenUp) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  network.power_off(id(2));
  clock.advance(5s);
  EXPECT_EQ(a.events.size(), 1u);
  a.node.transport().disconnect(id(2), "silent");
  clock.advance(1s);
  EXPECT_EQ(a.events.back(), "down 00000002");
}

TEST_F(SimulatedNetworkTest, AFrozenNodeCatchesUp) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  network.freeze(id(2));
  TimePoint fired{};
  b.node.clock().run_after(10ms, [&] { fired = b.node.clock().now(); });
  a.node.transport().send(id(2), wire::Ping{1});
  clock.advance(1s);
  EXPECT_TRUE(b.nonces.empty());
  EXPECT_EQ(fired, TimePoint{});
  network.thaw(id(2));
  clock.advance(1ms);
  EXPECT_EQ(b.nonces, std::vector<uint64_t>{1});
  EXPECT_NE(fired, TimePoint{});
}

TEST_F(SimulatedNetworkTest, AFrozenNodesClockStandsStill) {
  SimulatedNode& node = add(1);
  clock.advance(1s);
  const TimePoint before = node.clock().now();
  bool fired = false;
  node.clock().run_after(1s, [&] { fired = true; });
  network.freeze(id(1));
  clock.advance(30s);
  EXPECT_EQ(node.clock().now(), before);
  network.thaw(id(1));
  EXPECT_EQ(node.clock().now() - before, kLongestStep);
  EXPECT_EQ(node.clock().stopped(), 30s - kLongestStep);
  EXPECT_EQ(node.clock().steady_now(), clock.steady_now());
  clock.advance(700ms);
  EXPECT_FALSE(fired);
  clock.advance(60ms);
  EXPECT_TRUE(fired);
}

TEST_F(SimulatedNetworkTest, ACutHoldsMessagesAndAHealDeliversThem) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  network.cut(id(1), id(2));
  a.node.transport().send(id(2), wire::Ping{1});
  clock.advance(1s);
  a.node.transport().send(id(2), wire::Ping{2});
  EXPECT_TRUE(b.nonces.empty());
  network.heal(id(1), id(2));
  clock.advance(1s);
  EXPECT_EQ(b.nonces, (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(a.events.size(), 1u);
}

TEST_F(SimulatedNetworkTest, ALinkGivenUpWhileCutIsMadeAnewAfterTheHeal) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  network.cut(id(1), id(2));
  a.node.transport().disconnect(id(2), "silent");
  clock.advance(1s);
  EXPECT_EQ(a.events.back(), "down 00000002");
  EXPECT_EQ(b.events.size(), 1u);
  network.heal(id(1), id(2));
  clock.advance(1s);
  EXPECT_EQ(a.events.back(), "up 00000002");
  EXPECT_EQ(b.events, (std::vector<std::string>{"up 00000001", "down 00000001", "up 00000001"}));
  EXPECT_TRUE(a.node.transport().send(id(2), wire::Ping{7}));
  clock.advance(1s);
  EXPECT_EQ(b.nonces, std::vector<uint64_t>{7});
}

TEST_F(SimulatedNetworkTest, DisconnectIsToldToBothAfterWhatWasSent) {
  Recorder a(add(1)), b(add(2));
  clock.advance(1s);
  a.node.transport().send(id(2), wire::Ping{1});
  a.node.transport().disconnect(id(2), "test");
  clock.advance(10ms);
  EXPECT_EQ(b.nonces, std::vector<uint64_t>{1});
  EXPECT_EQ(a.events.back(), "down 00000002");
  EXPECT_EQ(b.events.back(), "down 00000001");
}

}  // namespace
}  // namespace exo::net
