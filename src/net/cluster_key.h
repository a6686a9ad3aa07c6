#pragma once
// The cluster's shared secret (--secret) as keys: what nodes prove to each other, and the tag by which beacons of
// different clusters are told apart. An empty secret is an open cluster: every node of the local network may join.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/ids.h"
#include "net/crypto.h"

namespace exo::net {

using ClusterTag = std::array<uint8_t, 8>;

// Whose proof: the two ends of a channel prove different things, so that neither can echo the other's.
enum class ProofRole : uint8_t { kLinkDialer = 1, kLinkAcceptor = 2, kFileClient = 3 };

class ClusterKey {
 public:
  ClusterKey() = default;  // open
  // scrypt (N = 2^15, r = 8, p = 1; RFC 7914), about 0.1 s and 32 MiB: guessing secrets from recorded tags is slow.
  static ClusterKey from_secret(std::string_view secret);

  bool has_secret() const { return has_secret_; }
  const ClusterTag& tag() const { return tag_; }  // all zero when open
  // HMAC over the role, the TLS channel's exported key and both ids. All zero when open.
  Digest proof(ProofRole role, const Digest& channel, const NodeId& dialer, const NodeId& acceptor) const;

 private:
  bool has_secret_ = false;
  Digest key_{};
  ClusterTag tag_{};
};

}  // namespace exo::net
