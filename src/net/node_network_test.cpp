#include "net/node_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "net/crypto.h"
#include "net/test_node.h"

namespace exo::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

auto seed(TestNode& node) {
  return [address = node.address()](NetworkOptions& options) { options.seeds = {address}; };
}

uint16_t free_port() {
  uint8_t bytes[2];
  random_bytes(bytes);
  return static_cast<uint16_t>(20000 + (bytes[0] * 256 + bytes[1]) % 30000);
}

wire::Message ping(uint64_t nonce) { return wire::Ping{nonce}; }

TEST(NodeNetwork, SeedMakesALinkAndMessagesComeInOrder) {
  TestNode a("a"), b("b", seed(a));
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  const auto info = b.links().at(0);
  EXPECT_EQ(info.peer, a.id());
  EXPECT_EQ(info.interface, "lo");
  EXPECT_EQ(info.remote_address, a.address());
  for (uint64_t i = 0; i < 500; ++i) ASSERT_TRUE(b.send(a.id(), ping(i)));
  ASSERT_TRUE(a.wait([&] { return a.messages.size() == 500; }));
  for (uint64_t i = 0; i < 500; ++i) EXPECT_EQ(std::get<wire::Ping>(a.messages[i].second).nonce, i);
  EXPECT_TRUE(eventually([&] { return b.seed_states().at(0).phase == SeedState::Phase::kLinked; }));
  EXPECT_EQ(b.seed_states().at(0).peer, a.id());
}

TEST(NodeNetwork, LargeStepArrivesUnchanged) {
  TestNode a("a"), b("b", seed(a));
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  wire::Step step;
  step.fingerprint = std::string(64, 'a');
  step.activations.resize(4 << 20);
  for (size_t i = 0; i < step.activations.size(); ++i) step.activations[i] = static_cast<float>(i);
  const auto expected = step.activations;
  ASSERT_TRUE(a.send(b.id(), step));  // from the acceptor and from the dialer: only the latter masks
  ASSERT_TRUE(b.send(a.id(), step));
  for (TestNode* node : {&a, &b}) {
    ASSERT_TRUE(node->wait([&] { return node->messages.size() == 1; }));
    EXPECT_TRUE(std::get<wire::Step>(node->messages[0].second).activations == expected);
  }
}

TEST(NodeNetwork, SendToSelfComesLater) {
  TestNode a("a");
  a.loop.run_and_wait([&] {
    EXPECT_TRUE(a.network.send(a.id(), ping(7)));
    EXPECT_TRUE(a.messages.empty());
  });
  ASSERT_TRUE(a.wait([&] { return a.messages.size() == 1; }));
  EXPECT_EQ(a.messages[0].first, a.id());
}

TEST(NodeNetwork, BothDialAndOneLinkStays) {
  for (int round = 0; round < 3; ++round) {
    const uint16_t port_a = free_port(), port_b = free_port();
    const auto with = [](uint16_t own, uint16_t other) {
      return [=](NetworkOptions& o) {
        o.peer_port = own;
        o.peer_port_exact = true;
        o.seeds = {"127.0.0.1:" + std::to_string(other)};
      };
    };
    TestNode a("a", with(port_a, port_b)), b("b", with(port_b, port_a));
    if (!a.started || !b.started) continue;  // the port was taken
    ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
    std::this_thread::sleep_for(milliseconds(300));
    const auto link_a = a.links().at(0), link_b = b.links().at(0);
    EXPECT_EQ(link_a.local_address, link_b.remote_address) << "both ends must hold the same connection";
    const std::lock_guard lock_a(a.mutex), lock_b(b.mutex);
    EXPECT_EQ(a.ups, 1u);
    EXPECT_EQ(b.ups, 1u);
  }
}

TEST(NodeNetwork, BeaconsOnLoopbackFindAllThreeNodesFast) {
  const uint16_t port = free_port();
  const auto with_discovery = [&](NetworkOptions& o) { o.discovery_port = port; };
  const auto begin = std::chrono::steady_clock::now();
  TestNode a("a", with_discovery), b("b", with_discovery), c("c", with_discovery);
  for (TestNode* node : {&a, &b, &c}) EXPECT_TRUE(node->wait_for_links(2));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(2));
}

TEST(NodeNetwork, GossipOfAddressesConnectsNodesThatShareOnlyAPeer) {
  TestNode a("a"), b("b", seed(a)), c("c", seed(a));
  ASSERT_TRUE(a.wait_for_links(2));
  wire::Gossip gossip;
  gossip.nodes.resize(1);
  gossip.nodes[0].id = c.id();
  gossip.nodes[0].peer_port = c.network.peer_port();
  gossip.nodes[0].addresses = {"127.0.0.1"};
  ASSERT_TRUE(a.send(b.id(), gossip));
  EXPECT_TRUE(b.wait_for_links(2));
  EXPECT_TRUE(c.wait_for_links(2));
}

// ---- admission

struct RefusalCase {
  std::string secret_a, secret_b, version_b;
  std::string reason_at_a, reason_at_b;
};

TEST(NodeNetwork, RefusalsSayWhyOnBothEnds) {
  const RefusalCase cases[] = {
      {"one", "two", "0.1.0", "its secret differs from ours", "its secret differs from ours"},
      {"one", "", "0.1.0", "it has no secret and we have one", "it has a secret (--secret) and we have none"},
      {"", "two", "0.1.0", "it has a secret (--secret) and we have none", "it has no secret and we have one"},
      {"", "", "0.2.0", "it runs version 0.2.0, we run 0.1.0", "it runs version 0.1.0, we run 0.2.0"},
  };
  for (const RefusalCase& c : cases) {
    TestNode a("a", [&](NetworkOptions& o) { o.secret = c.secret_a; });
    TestNode b("b", [&](NetworkOptions& o) {
      o.secret = c.secret_b;
      o.software_version = c.version_b;
      o.seeds = {a.address()};
    });
    ASSERT_TRUE(eventually([&] { return !a.refusals().empty() && !b.refusals().empty(); })) << c.reason_at_a;
    EXPECT_THAT(a.refusals()[0].reason, HasSubstr(c.reason_at_a));
    EXPECT_EQ(a.refusals()[0].peer_name, "b");
    EXPECT_THAT(b.refusals()[0].reason, HasSubstr(c.reason_at_b));
    EXPECT_EQ(b.refusals()[0].peer_name, "a");
    EXPECT_EQ(b.refusals()[0].address, a.address());
    EXPECT_TRUE(eventually([&] { return b.seed_states()[0].phase == SeedState::Phase::kRefused; }));
    EXPECT_THAT(b.seed_states()[0].problem, HasSubstr(c.reason_at_b));
    EXPECT_TRUE(a.links().empty() && b.links().empty());
  }
}

TEST(NodeNetwork, BeaconsOfAnotherClusterAreReportedAndNotDialled) {
  const uint16_t port = free_port();
  TestNode a("a", [&](NetworkOptions& o) { o.discovery_port = port, o.secret = "one"; });
  TestNode b("b", [&](NetworkOptions& o) { o.discovery_port = port, o.secret = "two"; });
  ASSERT_TRUE(eventually([&] { return a.refusals().size() == 1 && b.refusals().size() == 1; }));
  EXPECT_EQ(a.refusals()[0].reason, "its secret differs from ours");
  EXPECT_EQ(a.refusals()[0].address, b.address());
}

TEST(NodeNetwork, SameSecretIsAdmitted) {
  TestNode a("a", [](NetworkOptions& o) { o.secret = "open sesame"; });
  TestNode b("b", [&](NetworkOptions& o) { o.secret = "open sesame", o.seeds = {a.address()}; });
  EXPECT_TRUE(a.wait_for_links(1));
  EXPECT_TRUE(b.wait_for_links(1));
}

TEST(NodeNetwork, UnreachableSeedSaysWhyAndSelfIsRecognised) {
  const uint16_t own = free_port();
  TestNode a("a", [&](NetworkOptions& o) {
    o.peer_port = own;
    o.peer_port_exact = true;
    o.seeds = {"127.0.0.1:1", "no-such-host.invalid:5", "127.0.0.1:" + std::to_string(own), "host:port"};
  });
  ASSERT_TRUE(a.started.has_value());
  using Phase = SeedState::Phase;
  ASSERT_TRUE(eventually([&] {
    const auto s = a.seed_states();
    return s[0].phase == Phase::kUnreachable && s[1].phase == Phase::kUnreachable && s[2].phase == Phase::kSelf;
  }));
  const auto states = a.seed_states();
  EXPECT_THAT(states[0].problem, HasSubstr("refused"));
  EXPECT_THAT(states[1].problem, HasSubstr("cannot resolve no-such-host.invalid"));
  EXPECT_EQ(states[3].phase, Phase::kUnreachable);
  EXPECT_THAT(states[3].problem, HasSubstr("not a port"));
}

// ---- ends

TEST(NodeNetwork, DisconnectTellsBothEndsWhyAndTheLinkComesBack) {
  TestNode a("a"), b("b", seed(a));
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  a.loop.run_and_wait([&] {
    a.network.disconnect(b.id(), "silent for 1250 ms");
    EXPECT_TRUE(a.downs.empty()) << "not from within disconnect()";
    EXPECT_TRUE(a.network.links().empty());
  });
  ASSERT_TRUE(a.wait([&] { return a.downs.size() == 1; }) && b.wait([&] { return b.downs.size() == 1; }));
  EXPECT_EQ(a.downs[0].second, "silent for 1250 ms");
  EXPECT_EQ(b.downs[0].second, "silent for 1250 ms");
  EXPECT_TRUE(a.wait([&] { return a.ups == 2; }));
}

TEST(NodeNetwork, StoppedNodeIsNoticedAndARestartedOneReplacesIt) {
  const auto identity = Identity::generate().value();
  TestNode a("a");
  auto b = std::make_unique<TestNode>("b", seed(a), identity);
  ASSERT_TRUE(a.wait_for_links(1) && b->wait_for_links(1));
  b->loop.run_and_wait([&] { b->network.stop("on holiday"); });
  ASSERT_TRUE(a.wait([&] { return a.downs.size() == 1; }));
  EXPECT_EQ(a.downs[0].second, "on holiday");
  b = std::make_unique<TestNode>("b", seed(a), identity);
  EXPECT_TRUE(a.wait([&] { return a.ups == 2; }));
}

TEST(NodeNetwork, RestartedPeerReplacesItsHalfOpenLink) {
  const auto identity = Identity::generate().value();
  TestNode a("a");
  TestNode frozen("b", seed(a), identity);
  ASSERT_TRUE(a.wait_for_links(1) && frozen.wait_for_links(1));
  frozen.loop.stop();  // says nothing any more, its socket stays open
  TestNode again("b", seed(a), identity);
  ASSERT_TRUE(a.wait([&] { return a.ups == 2; }));
  EXPECT_THAT(a.downs.at(0).second, HasSubstr("started again"));
  ASSERT_TRUE(again.wait_for_links(1));
  EXPECT_TRUE(again.send(a.id(), ping(1)));
  EXPECT_TRUE(a.wait([&] { return a.messages.size() == 1; }));
}

TEST(NodeNetwork, PeerThatDoesNotReadIsDisconnectedAtTheBound) {
  TestNode a("a", [](NetworkOptions& o) { o.send_queue_bytes = 8 << 20; });
  TestNode b("b", seed(a));
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  std::promise<void> release;
  b.loop.post([&] { release.get_future().wait(); });  // b reads nothing
  wire::Step step;
  step.fingerprint = std::string(64, 'a');
  step.activations.resize(1 << 18);  // 1 MiB
  int sent = 0;
  while (sent < 200 && a.send(b.id(), step)) ++sent;
  release.set_value();
  EXPECT_GE(sent, 7);
  EXPECT_LT(sent, 200);
  EXPECT_FALSE(a.send(b.id(), ping(1))) << "the link is closed";
  ASSERT_TRUE(a.wait([&] { return a.downs.size() == 1; }));
  EXPECT_THAT(a.downs[0].second, HasSubstr("does not keep up"));
  EXPECT_TRUE(a.wait([&] { return a.ups == 2; })) << "and is made anew";
}

TEST(NodeNetwork, TakenPortIsAnErrorWhenAskedForAndAnotherOneOtherwise) {
  TestNode a("a");
  const uint16_t port = a.network.peer_port();
  TestNode strict("b", [&](NetworkOptions& o) { o.peer_port = port, o.peer_port_exact = true; });
  ASSERT_FALSE(strict.started.has_value());
  EXPECT_THAT(strict.started.error().message, HasSubstr(std::to_string(port)));
  TestNode flexible("c", [&](NetworkOptions& o) { o.peer_port = port; });
  EXPECT_TRUE(flexible.started.has_value());
  EXPECT_NE(flexible.network.peer_port(), port);
}

}  // namespace
}  // namespace exo::net
