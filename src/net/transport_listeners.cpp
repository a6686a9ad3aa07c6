#include "net/transport_listeners.h"

#include <algorithm>

namespace exo::net {

void TransportListeners::add(TransportListener* listener) {
  if (std::ranges::find(listeners_, listener) == listeners_.end()) listeners_.push_back(listener);
}

void TransportListeners::close() {
  closed_ = true;
  listeners_.clear();
}

void TransportListeners::deliver(const NodeId& from, wire::Message message) const {
  const auto told = listeners_;
  TransportListener* last = nullptr;
  for (TransportListener* listener : told) {
    if (closed_) return;
    listener->on_heard(from);
    if (listener->takes(message)) last = listener;
  }
  for (TransportListener* listener : told) {
    if (closed_) return;
    if (listener == last) return listener->on_message(from, std::move(message));
    if (listener->takes(message)) listener->on_message(from, message);
  }
}

}  // namespace exo::net
