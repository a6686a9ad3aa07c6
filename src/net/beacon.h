#pragma once
// The datagram by which nodes find each other: its bytes. docs/wire-handshake.md describes them. A beacon proves
// nothing; whoever answers at its address is proven by TLS.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "net/cluster_key.h"
#include "net/interfaces.h"

namespace exo::net {

inline constexpr size_t kMaxBeaconBytes = 1024;

struct Beacon {
  NodeId id;
  uint64_t incarnation = 0;
  uint32_t protocol_version = 0;
  uint16_t peer_port = 0;
  bool wants_answer = false;  // the sender has just started or sees nobody: show yourself now
  bool has_secret = false;
  ClusterTag tag{};                                // of the sender's cluster
  InterfaceKind medium = InterfaceKind::kUnknown;  // that it was sent through
  std::string name, software_version;
  bool operator==(const Beacon&) const = default;
};

std::vector<std::byte> encode_beacon(const Beacon& beacon);

// Any bytes. kCorrupt: not a beacon; kUnsupported: a beacon of a layout that this version cannot read. Names come
// back printable.
Result<Beacon> decode_beacon(std::span<const std::byte> datagram);

}  // namespace exo::net
