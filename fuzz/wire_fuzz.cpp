// Frames from strangers: decode() must refuse or give a message that encode() would send, and that comes back equal.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "wire/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto message = exo::wire::decode(std::as_bytes(std::span(data, size)));
  if (!message) return 0;
  const auto frame = exo::wire::encode(*message);
  if (!frame) std::abort();
  const auto again = exo::wire::decode(*frame);
  if (!again || again->index() != message->index()) std::abort();
  const auto frame_again = exo::wire::encode(*again);
  if (!frame_again || frame_again->size() != frame->size() ||
      std::memcmp(frame_again->data(), frame->data(), frame->size()) != 0) {
    std::abort();
  }
  return 0;
}
