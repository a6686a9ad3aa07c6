#include "net/beacon.h"

#include "base/printable.h"
#include "net/byte_fields.h"

namespace exo::net {
namespace {

constexpr std::string_view kMagic = "EXOB";
constexpr uint8_t kLayout = 1;
constexpr uint8_t kWantsAnswer = 1, kHasSecret = 2;

}  // namespace

std::vector<std::byte> encode_beacon(const Beacon& beacon) {
  FieldWriter out;
  out.text(kMagic);
  out.integer(kLayout);
  out.integer(
      static_cast<uint8_t>((beacon.wants_answer ? kWantsAnswer : 0) | (beacon.has_secret ? kHasSecret : 0)));
  out.integer(beacon.peer_port);
  out.integer(beacon.protocol_version);
  out.integer(beacon.incarnation);
  out.array(beacon.id.bytes);
  out.array(beacon.tag);
  out.integer(static_cast<uint8_t>(beacon.medium));
  out.short_string(beacon.name);
  out.short_string(beacon.software_version);
  return out.take();
}

Result<Beacon> decode_beacon(std::span<const std::byte> datagram) {
  if (datagram.size() > kMaxBeaconBytes) return fail(ErrorCode::kCorrupt, "a beacon of {} bytes", datagram.size());
  FieldReader in(datagram);
  if (!in.expect(kMagic)) return fail(ErrorCode::kCorrupt, "not a beacon");
  const auto layout = in.integer<uint8_t>();
  if (in.ok() && layout != kLayout) return fail(ErrorCode::kUnsupported, "beacon layout {}", layout);
  Beacon beacon;
  const auto flags = in.integer<uint8_t>();
  beacon.wants_answer = (flags & kWantsAnswer) != 0;
  beacon.has_secret = (flags & kHasSecret) != 0;
  beacon.peer_port = in.integer<uint16_t>();
  beacon.protocol_version = in.integer<uint32_t>();
  beacon.incarnation = in.integer<uint64_t>();
  beacon.id.bytes = in.array<32>();
  beacon.tag = in.array<8>();
  const auto medium = in.integer<uint8_t>();
  beacon.medium = medium <= uint8_t(InterfaceKind::kContainer) ? InterfaceKind(medium) : InterfaceKind::kUnknown;
  beacon.name = printable(in.short_string(), kMostNameBytes);
  beacon.software_version = printable(in.short_string(), kMostNameBytes);
  if (!in.ok()) return fail(ErrorCode::kCorrupt, "a beacon cut short at {} bytes", datagram.size());
  if (beacon.peer_port == 0) return fail(ErrorCode::kCorrupt, "a beacon without a port");
  return beacon;
}

}  // namespace exo::net
