#pragma once
// Takes an established TLS connection out of the event loop, so that another thread can read and write it without
// Asio. Includes Boost: for .cpp files of net/ only.

#include <memory>

#include "net/channel.h"
#include "net/group_stream.h"

namespace exo::net {

// Nothing is under way on the channel, and the other end sends nothing until it has heard from the result. The
// channel is of no more use. kUnavailable: the connection is gone.
Result<std::unique_ptr<GroupStream>> take_stream(WebSocket& channel);

}  // namespace exo::net
