#pragma once
// Those who listen to a transport, in the order in which they were added. Any of them may, from within what it is
// told, add another or bring the transport to its end. Network thread only.

#include <vector>

#include "net/transport.h"

namespace exo::net {

class TransportListeners {
 public:
  void add(TransportListener* listener);  // twice is once
  void close();                           // nobody hears anything any more

  // Calls `tell(listener)` for each.
  template <typename Tell>
  void each(const Tell& tell) const {
    for (TransportListener* listener : std::vector(listeners_)) {
      if (closed_) return;
      tell(*listener);
    }
  }
  // To those that take messages of this kind; the last of them gets the message itself, the others copies.
  void deliver(const NodeId& from, wire::Message message) const;

 private:
  std::vector<TransportListener*> listeners_;
  bool closed_ = false;
};

}  // namespace exo::net
