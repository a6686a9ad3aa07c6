#pragma once
// Messages ⇄ frames. One frame is one WebSocket binary message: a size-prefixed FlatBuffers envelope
// (wire/envelope.fbs), then the tensor's bytes, if any. docs/wire.md describes it byte by byte.

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "wire/messages.h"

namespace exo::wire {

// kInvalidArgument when the message exceeds a limit of wire/limits.h: the receiver would refuse it.
Result<std::vector<std::byte>> encode(const Message& message);

// Any bytes at all: verified, and every length checked against its limit before anything is allocated.
// kCorrupt: malformed or over a limit; the link is to be closed.
Result<Message> decode(std::span<const std::byte> frame);

}  // namespace exo::wire
