#include "net/hello.h"

#include "base/printable.h"
#include "net/byte_fields.h"

namespace exo::net {
namespace {

constexpr std::string_view kHelloMagic = "EXOH", kReplyMagic = "EXOR";
constexpr uint8_t kLayout = 1;
constexpr uint8_t kHasSecret = 1;

void write_introduction(FieldWriter& out, const Introduction& self) {
  out.integer(self.protocol_version);
  out.array(self.id.bytes);
  out.integer(self.incarnation);
  out.integer(self.peer_port);
  out.integer(static_cast<uint8_t>(self.has_secret ? kHasSecret : 0));
  out.array(self.proof);
  out.short_string(self.name);
  out.short_string(self.software_version);
}

Introduction read_introduction(FieldReader& in) {
  Introduction self;
  self.protocol_version = in.integer<uint32_t>();
  self.id.bytes = in.array<32>();
  self.incarnation = in.integer<uint64_t>();
  self.peer_port = in.integer<uint16_t>();
  self.has_secret = (in.integer<uint8_t>() & kHasSecret) != 0;
  self.proof = in.array<32>();
  self.name = printable(in.short_string(), kMostNameBytes);
  self.software_version = printable(in.short_string(), kMostNameBytes);
  return self;
}

Status check_start(FieldReader& in, std::string_view magic, size_t bytes) {
  if (bytes > kMaxHelloBytes) return fail(ErrorCode::kCorrupt, "a handshake frame of {} bytes", bytes);
  if (!in.expect(magic)) return fail(ErrorCode::kCorrupt, "not a handshake frame");
  if (const auto layout = in.integer<uint8_t>(); in.ok() && layout != kLayout) {
    return fail(ErrorCode::kUnsupported, "handshake layout {}", layout);
  }
  return {};
}

bool versions_match(const Introduction& a, const Introduction& b) {
  return a.protocol_version == b.protocol_version && a.software_version == b.software_version;
}

std::string version_text(const Introduction& self, const Introduction& other) {
  if (self.software_version != other.software_version) {
    return fmt::format("it runs version {}, we run {}", other.software_version, self.software_version);
  }
  return fmt::format("it speaks protocol {}, we speak {}", other.protocol_version, self.protocol_version);
}

}  // namespace

std::vector<std::byte> encode_hello(const Introduction& self) {
  FieldWriter out;
  out.text(kHelloMagic);
  out.integer(kLayout);
  write_introduction(out, self);
  return out.take();
}

Result<Introduction> decode_hello(std::span<const std::byte> frame) {
  FieldReader in(frame);
  EXO_CHECK_OK(check_start(in, kHelloMagic, frame.size()));
  Introduction self = read_introduction(in);
  if (!in.ok()) return fail(ErrorCode::kCorrupt, "a handshake frame cut short at {} bytes", frame.size());
  return self;
}

std::vector<std::byte> encode_reply(const HelloReply& reply) {
  FieldWriter out;
  out.text(kReplyMagic);
  out.integer(kLayout);
  out.integer(static_cast<uint8_t>(reply.verdict));
  write_introduction(out, reply.self);
  return out.take();
}

Result<HelloReply> decode_reply(std::span<const std::byte> frame) {
  FieldReader in(frame);
  EXO_CHECK_OK(check_start(in, kReplyMagic, frame.size()));
  HelloReply reply;
  const auto verdict = in.integer<uint8_t>();
  reply.verdict = verdict <= uint8_t(Verdict::kNoLink) ? Verdict(verdict) : Verdict::kMalformed;
  reply.self = read_introduction(in);
  if (!in.ok()) return fail(ErrorCode::kCorrupt, "a handshake frame cut short at {} bytes", frame.size());
  return reply;
}

Verdict judge(const Introduction& dialer, const NodeId& tls_id, const Introduction& self, const ClusterKey& key,
              const Digest& channel) {
  if (dialer.id != tls_id || dialer.peer_port == 0) return Verdict::kMalformed;
  if (tls_id == self.id) return Verdict::kSameNode;
  if (!versions_match(dialer, self)) return Verdict::kVersionDiffers;
  if (!key.has_secret()) return dialer.has_secret ? Verdict::kSecretUnexpected : Verdict::kAdmitted;
  if (!dialer.has_secret) return Verdict::kSecretMissing;
  const Digest expected = key.proof(ProofRole::kLinkDialer, channel, dialer.id, self.id);
  return equal_in_constant_time(expected, dialer.proof) ? Verdict::kAdmitted : Verdict::kSecretDiffers;
}

Verdict judge_acceptor(const Introduction& acceptor, const NodeId& tls_id, const Introduction& self,
                       const ClusterKey& key, const Digest& channel) {
  if (acceptor.id != tls_id || acceptor.peer_port == 0) return Verdict::kMalformed;
  if (tls_id == self.id) return Verdict::kSameNode;
  if (!versions_match(acceptor, self)) return Verdict::kVersionDiffers;
  if (!key.has_secret()) return acceptor.has_secret ? Verdict::kSecretMissing : Verdict::kAdmitted;
  if (!acceptor.has_secret) return Verdict::kSecretUnexpected;
  const Digest expected = key.proof(ProofRole::kLinkAcceptor, channel, self.id, acceptor.id);
  return equal_in_constant_time(expected, acceptor.proof) ? Verdict::kAdmitted : Verdict::kSecretDiffers;
}

std::string refusal_text(Verdict verdict, const Introduction& self, const Introduction& other,
                         bool self_is_dialer) {
  const bool we_have_secret = self_is_dialer == (verdict == Verdict::kSecretUnexpected);
  switch (verdict) {
    case Verdict::kAdmitted:
      return "";
    case Verdict::kVersionDiffers:
      return version_text(self, other);
    case Verdict::kSecretDiffers:
      return "its secret differs from ours";
    case Verdict::kSecretMissing:
    case Verdict::kSecretUnexpected:
      return we_have_secret ? "it has no secret and we have one (--secret)"
                            : "it has a secret (--secret) and we have none";
    case Verdict::kSameNode:
      return "it has our own identity: is one data folder used by two nodes?";
    case Verdict::kDuplicate:
      return "it already has a link with us";
    case Verdict::kBusy:
      return "too many links";
    case Verdict::kNoLink:
      return "it has no link with us";
    case Verdict::kMalformed:
      return "its handshake makes no sense, or claims an identity that is not its own";
  }
  return "";
}

}  // namespace exo::net
