#pragma once
// The handshake inside the encrypted channel, and who is admitted: bytes and decisions, no I/O.
// docs/wire-handshake.md describes the frames. They stay readable to other versions, so that both sides can say
// what separates them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "net/cluster_key.h"
#include "wire/messages.h"

namespace exo::net {

inline constexpr size_t kMaxHelloBytes = 1024;

// What a node says of itself when it opens a link, and again in the answer.
struct Introduction {
  NodeId id;
  uint64_t incarnation = 0;
  uint32_t protocol_version = wire::kProtocolVersion;
  uint16_t peer_port = 0;
  bool has_secret = false;
  Digest proof{};  // ClusterKey::proof for the sender's role
  std::string name, software_version;
  bool operator==(const Introduction&) const = default;
};

enum class Verdict : uint8_t {
  kAdmitted = 0,
  kVersionDiffers = 1,  // protocol or software
  kSecretDiffers = 2,
  kSecretMissing = 3,     // the dialer has none, the acceptor has one
  kSecretUnexpected = 4,  // the dialer has one, the acceptor has none
  kSameNode = 5,          // the dialer has the acceptor's own id
  kDuplicate = 6,         // the two have a link, or the acceptor's own dial is about to be one; no refusal
  kBusy = 7,              // too many links
  kMalformed = 8,
  kNoLink = 9,  // to a path of a link: there is none; no refusal
};

struct HelloReply {
  Verdict verdict = Verdict::kMalformed;
  Introduction self;  // proof only when admitted
};

std::vector<std::byte> encode_hello(const Introduction& self);
Result<Introduction> decode_hello(std::span<const std::byte> frame);
std::vector<std::byte> encode_reply(const HelloReply& reply);
Result<HelloReply> decode_reply(std::span<const std::byte> frame);

// The acceptor's judgement of a dialer that TLS proved to be `tls_id`. kAdmitted, or what separates the two.
Verdict judge(const Introduction& dialer, const NodeId& tls_id, const Introduction& self, const ClusterKey& key,
              const Digest& channel);
// The dialer's judgement of an acceptor that admitted it.
Verdict judge_acceptor(const Introduction& acceptor, const NodeId& tls_id, const Introduction& self,
                       const ClusterKey& key, const Digest& channel);

// For a person at the side of `self`, about the other: "it runs version 0.2.0, we run 0.1.0".
std::string refusal_text(Verdict verdict, const Introduction& self, const Introduction& other, bool self_is_dialer);

}  // namespace exo::net
