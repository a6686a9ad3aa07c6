#include "net/beacon_judgement.h"

namespace exo::net {

Beacon beacon_of(const Introduction& self, const ClusterKey& key) {
  Beacon beacon;
  beacon.id = self.id;
  beacon.incarnation = self.incarnation;
  beacon.protocol_version = self.protocol_version;
  beacon.peer_port = self.peer_port;
  beacon.has_secret = self.has_secret;
  beacon.tag = key.tag();
  beacon.name = self.name;
  beacon.software_version = self.software_version;
  return beacon;
}

Introduction introduction_of(const Beacon& beacon) {
  Introduction sender;
  sender.id = beacon.id;
  sender.protocol_version = beacon.protocol_version;
  sender.name = beacon.name;
  sender.software_version = beacon.software_version;
  sender.has_secret = beacon.has_secret;
  return sender;
}

Verdict judge_beacon(const Beacon& beacon, const Introduction& self, const ClusterKey& key) {
  if (beacon.protocol_version != self.protocol_version || beacon.software_version != self.software_version) {
    return Verdict::kVersionDiffers;
  }
  if (beacon.has_secret != self.has_secret) {
    return beacon.has_secret ? Verdict::kSecretUnexpected : Verdict::kSecretMissing;
  }
  return beacon.tag == key.tag() ? Verdict::kAdmitted : Verdict::kSecretDiffers;
}

}  // namespace exo::net
