#pragma once
// The links that this node has, at most one with each peer, and everybody who hears of them: frames become messages
// here and messages frames, bytes are counted, listeners are told. Network thread only. Includes Boost: for .cpp
// files of net/ only.

#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "net/event_loop.h"
#include "net/peer_link.h"
#include "net/transport.h"
#include "net/transport_listeners.h"

namespace exo::net {

// What the rest of the network does with links. Called before the listeners.
class LinkTableHost {
 public:
  virtual ~LinkTableHost() = default;
  virtual void link_began(const PeerLink& link) = 0;
  virtual void link_ended(const NodeId& peer) = 0;                    // at once
  virtual void link_end_told(const NodeId& peer) = 0;                 // with the listeners, perhaps in a later turn
  virtual void link_broke(const NodeId& peer, const Error& why) = 0;  // it may still be mended
  virtual void heard_gossip(const NodeId& from, const wire::Gossip& gossip) = 0;
  virtual void measured_round_trip(const NodeId& peer, Duration round_trip) = 0;
};

class LinkTable : public std::enable_shared_from_this<LinkTable> {
 public:
  static constexpr size_t kMaxLinks = 1024;

  // Both outlive the table's stop().
  LinkTable(EventLoop& loop, NodeId self, LinkTableHost& host);

  void add_listener(TransportListener* listener) { listeners_.add(listener); }
  void stop(const std::string& reason);  // listeners hear nothing any more; peers are told why

  // False: there is one with this peer already.
  bool begin(const std::shared_ptr<PeerLink>& link);
  // Closes from this side; listeners hear of it in a later turn, so that they may call this from within a callback.
  void end(const NodeId& peer, const std::string& reason);
  // The link has closed; nothing if it is no longer the peer's.
  void closed(const std::shared_ptr<PeerLink>& link, const Error& why);
  void moved(const LinkInfo& now);  // to another connection

  bool send(const NodeId& to, wire::Message message);

  std::shared_ptr<PeerLink> find(const NodeId& peer) const;  // null: none
  bool contains(const NodeId& peer) const { return links_.contains(peer); }
  bool full() const { return links_.size() >= kMaxLinks; }
  std::vector<LinkInfo> infos() const;
  LinkTraffic traffic(const NodeId& peer) const;  // of all links there ever were with it, if it is remembered
  uint64_t total_traffic_bytes() const;

 private:
  void start(const std::shared_ptr<PeerLink>& link);
  void on_frame(const NodeId& peer, std::span<const std::byte> frame);
  void learn_round_trip(const NodeId& peer, uint64_t nonce);
  void tell_down(const Introduction& peer, const Error& why);

  EventLoop& loop_;
  const NodeId self_;
  LinkTableHost& host_;
  TransportListeners listeners_;
  std::map<NodeId, std::shared_ptr<PeerLink>> links_;
  std::map<NodeId, LinkTraffic> traffic_;
  std::map<NodeId, std::pair<uint64_t, TimePoint>> pings_;  // the last that measures a round trip: nonce, sent at
  bool stopped_ = false;
};

}  // namespace exo::net
