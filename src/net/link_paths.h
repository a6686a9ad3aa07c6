#pragma once
// Keeps every link on the best pair of addresses: measures the others on connections of their own at quiet times,
// moves a link when another is clearly better (PathChooser), and at once when the present one fails. Network thread
// only. Includes Boost: for .cpp files of net/ only.
//
// Both ends measure, each in its direction; the node with the smaller id moves the link. When the connection breaks
// both try, and the smaller id's attempt wins.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <string>
#include <vector>

#include "net/channel.h"
#include "net/event_loop.h"
#include "net/link_path.h"
#include "net/peer_acceptor.h"
#include "net/peer_link.h"

namespace exo::net {

// What became of a dial to a path of a link.
struct PathDial {
  std::shared_ptr<WebSocket> channel;  // that the peer admitted; nullptr: `problem` says why not
  std::string problem;
  bool nobody_listens = false;  // the system there said so
  bool link_is_gone = false;    // the peer itself said so
};

class LinkPathsHost {
 public:
  virtual ~LinkPathsHost() = default;
  virtual std::shared_ptr<PeerLink> find_link(const NodeId& peer) const = 0;
  // Where the peer may be dialled, best guess first.
  virtual std::vector<boost::asio::ip::tcp::endpoint> candidates(const NodeId& peer) const = 0;
  // Does not throw.
  virtual boost::asio::awaitable<PathDial> dial_path(boost::asio::ip::tcp::endpoint to,
                                                     std::shared_ptr<PeerLink> link) = 0;
  // Its addresses and interface. False: through an interface that links do not use.
  virtual bool describe(WebSocket& channel, const NodeId& peer, LinkInfo& info) const = 0;
  virtual void link_moved(const LinkInfo& before, const LinkInfo& now, const std::string& why) = 0;
  virtual void give_up(const std::shared_ptr<PeerLink>& link, const Error& why) = 0;
  virtual uint64_t total_traffic_bytes() const = 0;  // of all links
};

class LinkPaths {
 public:
  LinkPaths(EventLoop& loop, NodeId self, LinkPathsHost& host);
  ~LinkPaths();  // stops

  void start();
  void stop();
  void link_up(const NodeId& peer);
  void link_down(const NodeId& peer);
  void on_broken(const NodeId& peer, const Error& why);
  // Of the link, by messages that cross it anyway.
  void on_round_trip(const NodeId& peer, Duration round_trip);
  // The acceptor's side of a connection that was admitted as a path of the link. `place` is one of the few for such
  // connections of one peer, taken before; null: there was none left.
  boost::asio::awaitable<void> serve(IncomingRequest incoming, std::shared_ptr<PeerLink> link,
                                     std::shared_ptr<void> place);
  std::shared_ptr<void> take_place(const NodeId& peer);

  std::vector<LinkPath> paths() const;  // of peers with more than one

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace exo::net
