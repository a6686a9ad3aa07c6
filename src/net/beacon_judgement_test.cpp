#include "net/beacon_judgement.h"

#include <gtest/gtest.h>

namespace exo::net {
namespace {

struct Node {
  explicit Node(const std::string& secret = {}) : key(ClusterKey::from_secret(secret)) {
    self.id.bytes[0] = 7;
    self.incarnation = 11;
    self.peer_port = 52416;
    self.has_secret = key.has_secret();
    self.name = "kitchen";
    self.software_version = "0.1.0";
  }
  Beacon beacon() const { return beacon_of(self, key); }
  Verdict judges(const Node& other) const { return judge_beacon(other.beacon(), self, key); }

  ClusterKey key;
  Introduction self;
};

TEST(BeaconJudgement, ABeaconTellsWhoSentIt) {
  const Node node("s");
  const Beacon beacon = node.beacon();
  EXPECT_EQ(beacon.incarnation, 11u);
  EXPECT_EQ(beacon.peer_port, 52416);
  EXPECT_EQ(beacon.tag, node.key.tag());
  const Introduction sender = introduction_of(beacon);
  EXPECT_EQ(sender.id, node.self.id);
  EXPECT_EQ(sender.name, "kitchen");
  EXPECT_EQ(sender.software_version, "0.1.0");
  EXPECT_EQ(sender.protocol_version, node.self.protocol_version);
  EXPECT_TRUE(sender.has_secret);
}

TEST(BeaconJudgement, SaysWhatTheHandshakeWouldSay) {
  const Node open, closed("s"), other("t");
  EXPECT_EQ(open.judges(Node()), Verdict::kAdmitted);
  EXPECT_EQ(closed.judges(Node("s")), Verdict::kAdmitted);
  EXPECT_EQ(closed.judges(other), Verdict::kSecretDiffers);
  EXPECT_EQ(closed.judges(open), Verdict::kSecretMissing);
  EXPECT_EQ(open.judges(closed), Verdict::kSecretUnexpected);
}

TEST(BeaconJudgement, VersionsDecideBeforeSecrets) {
  const Node closed("s");
  Node later;
  later.self.software_version = "0.2.0";
  EXPECT_EQ(closed.judges(later), Verdict::kVersionDiffers);
  Node other_protocol;
  ++other_protocol.self.protocol_version;
  EXPECT_EQ(closed.judges(other_protocol), Verdict::kVersionDiffers);
}

}  // namespace
}  // namespace exo::net
