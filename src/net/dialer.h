#pragma once
// Keeps trying to have a link with every node that is known of: found by beacons, told by gossip, or given as a
// seed. Knows addresses, order and patience; how a dial is made is the host's business. Network thread only.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/event_loop.h"
#include "net/interfaces.h"
#include "net/node_network.h"

namespace exo::net {

struct DialOutcome {
  enum class Kind { kLinked, kDuplicate, kRefused, kSameNode, kFailed } kind = Kind::kFailed;
  std::optional<NodeId> peer;  // once TLS has proven it
  std::string problem;         // kRefused, kFailed
};

class DialHost {
 public:
  virtual ~DialHost() = default;
  virtual bool has_link(const NodeId& peer) const = 0;
  // `expected`: any other node at that address is kFailed. Does not throw.
  virtual boost::asio::awaitable<DialOutcome> dial(boost::asio::ip::tcp::endpoint to,
                                                   std::optional<NodeId> expected) = 0;
};

class Dialer {
 public:
  Dialer(EventLoop& loop, NodeId self, DialHost& host);
  ~Dialer();

  void add_seed(const std::string& seed);  // "host", "host:port", "[v6]:port"
  // A node was seen at an address. A change of incarnation (0: unknown) forgets
  // what was known of it before.
  void saw(const NodeId& peer, const std::string& address, uint16_t port, InterfaceKind medium,
           uint64_t incarnation);
  void link_changed(const NodeId& peer);  // up or down
  std::vector<SeedState> seed_states() const;
  // Addresses under which a peer was seen, best first.
  std::vector<boost::asio::ip::tcp::endpoint> endpoints(const NodeId& peer) const;
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Splits a seed; kInvalidArgument says what is wrong with it.
Result<std::pair<std::string, std::string>> split_seed(const std::string& seed);

}  // namespace exo::net
