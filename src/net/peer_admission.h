#pragma once
// Who becomes a peer: connections in both directions up to the handshake's verdict (docs/wire-handshake.md), and
// what is remembered of those that were not admitted. Of two nodes that dial each other at once the smaller id's
// dial wins; a node that was started again replaces its former self. Network thread only. Includes Boost: for .cpp
// files of net/ only.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "net/beacon.h"
#include "net/channel.h"
#include "net/dialer.h"
#include "net/event_loop.h"
#include "net/link_paths.h"
#include "net/peer_acceptor.h"
#include "net/refusal_log.h"

namespace exo::net {

class AdmissionHost {
 public:
  virtual ~AdmissionHost() = default;
  virtual std::shared_ptr<PeerLink> find_link(const NodeId& peer) const = 0;  // null: none
  virtual bool has_room() const = 0;                                          // for one more link
  // False: there is one with the peer already, or the connection is of no use any more.
  virtual bool begin_link(std::shared_ptr<WebSocket> channel, const Introduction& peer) = 0;
  virtual void end_link(const NodeId& peer, const std::string& reason) = 0;
  virtual LinkPaths& paths() = 0;
};

class PeerAdmission : public std::enable_shared_from_this<PeerAdmission> {
 public:
  // `deadline`: from connection to admission. The host is not called after stop().
  PeerAdmission(EventLoop& loop, std::shared_ptr<boost::asio::ssl::context> tls,
                std::shared_ptr<const LocalNode> local, Duration deadline, AdmissionHost& host);

  void stop() { stopped_ = true; }

  // A request at the peer port for a link, or for another path of one.
  boost::asio::awaitable<void> accept(IncomingRequest incoming);
  // As DialHost::dial and LinkPathsHost::dial_path.
  boost::asio::awaitable<DialOutcome> dial(boost::asio::ip::tcp::endpoint to, std::optional<NodeId> expected);
  boost::asio::awaitable<PathDial> dial_path(boost::asio::ip::tcp::endpoint to, std::shared_ptr<PeerLink> link);
  // What the handshake would say, so that strangers are not dialled over and over. False: the refusal is noted.
  bool would_admit(const Beacon& beacon, const std::string& address);

  void link_began(const NodeId& peer) { refusals_.admitted(peer); }
  std::vector<Refusal> refusals() const { return refusals_.recent(loop_.now()); }

 private:
  boost::asio::awaitable<void> accept_link(IncomingRequest incoming);
  boost::asio::awaitable<void> accept_path(IncomingRequest incoming);
  Verdict may_accept(const Introduction& peer);
  DialOutcome conclude(std::unique_ptr<WebSocket> channel, const Greeting& greeting,
                       const boost::asio::ip::tcp::endpoint& to);
  void note_refusal(const std::string& address, Verdict verdict, const Introduction& peer, bool we_dialled);

  EventLoop& loop_;
  const std::shared_ptr<boost::asio::ssl::context> tls_;
  const std::shared_ptr<const LocalNode> local_;
  const Duration deadline_;
  AdmissionHost& host_;
  std::multiset<NodeId> dialling_;   // own dials that TLS has shown to lead to this peer
  std::multiset<NodeId> admitting_;  // incoming ones that are judged well and not yet links
  RefusalLog refusals_;
  bool stopped_ = false;
};

}  // namespace exo::net
