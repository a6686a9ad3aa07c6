#pragma once
// Beacons and handshakes speak of the same things: what a node says of itself in beacons, and what the handshake
// would say to the sender of one, so that strangers are not dialled over and over. Decisions only, no I/O.

#include "net/beacon.h"
#include "net/hello.h"

namespace exo::net {

// What `self` sends; medium and wants_answer are left to Discovery.
Beacon beacon_of(const Introduction& self, const ClusterKey& key);

// Who sent it, as far as the beacon tells: no incarnation, no port.
Introduction introduction_of(const Beacon& beacon);

// kAdmitted, or what separates the two, as if the sender had dialled `self`. A beacon proves nothing: the handshake
// may still judge otherwise.
Verdict judge_beacon(const Beacon& beacon, const Introduction& self, const ClusterKey& key);

}  // namespace exo::net
