#pragma once
// Encrypted links to other nodes as cluster, ring and serve see them: who is reachable, and messages in order.
// All calls and callbacks happen on the network thread.

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "wire/messages.h"

namespace exo::net {

struct LinkInfo {
  NodeId peer;
  std::string local_address, remote_address;  // "192.168.1.7:52416"
  std::string interface;                      // "eth0"
  bool wired = true;                          // false: Wi-Fi or unknown radio
};

// A peer that was found but not admitted, kept so that people see why.
struct Refusal {
  std::string address;
  std::string peer_name;  // empty when it did not say
  std::string reason;     // for a person: "its secret differs from ours", "it runs version 0.2.0, we run 0.1.0"
};

class TransportListener {
 public:
  virtual ~TransportListener() = default;
  virtual void on_link_up(const LinkInfo& link) = 0;
  virtual void on_link_down(const NodeId& peer, const Error& why) = 0;
  // The link goes on over other addresses; no message was lost, repeated or reordered.
  virtual void on_link_moved(const LinkInfo& link) { (void)link; }
  virtual void on_message(const NodeId& from, wire::Message message) = 0;
  // Whether on_message wants messages of this kind. Each listener that does but the last gets a copy, and
  // activations are large.
  virtual bool takes(const wire::Message& message) const { return (void)message, true; }
  // Before on_message, for messages of all kinds.
  virtual void on_heard(const NodeId& from) { (void)from; }
};

// Frames of all links with a peer so far.
struct LinkTraffic {
  uint64_t sent_bytes = 0, received_bytes = 0;
};

class Transport {
 public:
  virtual ~Transport() = default;
  virtual NodeId self() const = 0;
  // Listeners are told in the order they were added and outlive the transport's running. Adding one twice is adding
  // it once.
  virtual void add_listener(TransportListener* listener) = 0;
  // In order and at most once while the link lives; what was under way when it dies is lost. Sending to self is
  // delivered by a later turn of the event loop. False: there is no link, or its send queue is over its bound (then
  // the link is closed: the peer does not keep up).
  virtual bool send(const NodeId& to, wire::Message message) = 0;
  // Closes the link; on_link_down follows for both ends.
  virtual void disconnect(const NodeId& peer, const std::string& reason) = 0;
  virtual std::vector<LinkInfo> links() const = 0;
  virtual LinkTraffic traffic(const NodeId& peer) const { return (void)peer, LinkTraffic{}; }
  virtual std::vector<Refusal> refusals() const = 0;  // recent ones, newest first
};

}  // namespace exo::net
