#pragma once
// The other end of path_probe.h: a peer measures a connection that could carry the link with it. Includes Boost:
// for .cpp files of net/ only.

#include <boost/asio/awaitable.hpp>
#include <map>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "net/channel.h"

namespace exo::net {

// Sends echoes back and swallows bursts, of 16 MiB at most, until the peer says that the link is to go on here:
// then how many of its frames it has received. nullopt: it said something else, or too much. Throws
// boost::system::system_error when the connection breaks; who wants to end it closes the channel's socket.
boost::asio::awaitable<std::optional<uint64_t>> answer_probes(WebSocket& channel);

// How many such connections each peer occupies. Network thread only.
class ProbePlaces {
 public:
  static constexpr size_t kMostPerPeer = 20;

  // Given back when the last copy is destroyed, which may be after this. nullptr: there is none left.
  std::shared_ptr<void> take(const NodeId& peer);
  size_t peers() const { return taken_->size(); }

 private:
  std::shared_ptr<std::map<NodeId, size_t>> taken_ = std::make_shared<std::map<NodeId, size_t>>();
};

}  // namespace exo::net
