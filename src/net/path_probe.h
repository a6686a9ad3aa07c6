#pragma once
// Measuring a connection that could carry a link: echoes for the round trip, bursts for the bandwidth. Includes
// Boost: for .cpp files of net/ only.

#include <boost/asio/awaitable.hpp>
#include <string>

#include "net/channel.h"
#include "net/path_chooser.h"

namespace exo::net {

inline constexpr size_t kMostBurstBytes = 1 << 20;

// Addresses are left empty. Throws boost::system::system_error when the connection breaks.
boost::asio::awaitable<PathChooser::Measurement> measure_path(WebSocket& channel);

boost::asio::awaitable<void> write_text(WebSocket& channel, std::string text);
// The next text message; anything else throws.
boost::asio::awaitable<std::string> read_text(WebSocket& channel);

}  // namespace exo::net
