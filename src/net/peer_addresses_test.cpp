#include "net/peer_addresses.h"

#include <gtest/gtest.h>

#include "net/simulated_network.h"

namespace exo::net {
namespace {

const NodeId kFirst = simulated_node_id(1), kSecond = simulated_node_id(2), kThird = simulated_node_id(3);

bool forget_all(const NodeId&) { return false; }

TEST(PeerAddresses, TheNewestOfAPeerCount) {
  PeerAddresses addresses;
  EXPECT_TRUE(addresses.of(kFirst).empty());
  addresses.remember(kFirst, {{"192.168.1.2", 1}, {"10.0.0.2", 1}}, 8, forget_all);
  addresses.remember(kFirst, {{"10.0.0.2", 2}}, 8, forget_all);
  ASSERT_EQ(addresses.of(kFirst).size(), 1u);
  EXPECT_EQ(addresses.of(kFirst)[0].address, "10.0.0.2");
  EXPECT_EQ(addresses.of(kFirst)[0].port, 2);
}

TEST(PeerAddresses, BeyondTheBoundOnlyThoseInUseAreKept) {
  PeerAddresses addresses;
  addresses.remember(kFirst, {{"10.0.0.1", 1}}, 2, forget_all);
  addresses.remember(kSecond, {{"10.0.0.2", 1}}, 2, forget_all);
  addresses.remember(kThird, {{"10.0.0.3", 1}}, 2, [](const NodeId& peer) { return peer == kSecond; });
  EXPECT_TRUE(addresses.of(kFirst).empty());
  EXPECT_FALSE(addresses.of(kSecond).empty());
  EXPECT_FALSE(addresses.of(kThird).empty());
}

TEST(PeerAddresses, NothingIsKnownAfterTheStop) {
  PeerAddresses addresses;
  addresses.remember(kFirst, {{"10.0.0.1", 1}}, 2, forget_all);
  addresses.stop();
  EXPECT_TRUE(addresses.of(kFirst).empty());
  addresses.remember(kSecond, {{"10.0.0.2", 1}}, 2, forget_all);
  EXPECT_TRUE(addresses.of(kSecond).empty());
}

}  // namespace
}  // namespace exo::net
