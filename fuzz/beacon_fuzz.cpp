// What strangers may send before anything is proven: beacons, handshake frames, file layouts.
#include <cstdlib>

#include "net/beacon.h"
#include "net/file_transfer.h"
#include "net/hello.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace exo::net;
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  // What was understood must survive being said again.
  if (const auto beacon = decode_beacon(bytes); beacon && *decode_beacon(encode_beacon(*beacon)) != *beacon)
    std::abort();
  if (const auto hello = decode_hello(bytes); hello && *decode_hello(encode_hello(*hello)) != *hello) std::abort();
  if (const auto reply = decode_reply(bytes); reply && decode_reply(encode_reply(*reply))->self != reply->self) {
    std::abort();
  }
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto layout = parse_layout(text); layout && *parse_layout(format_layout(*layout)) != *layout)
    std::abort();
  return 0;
}
