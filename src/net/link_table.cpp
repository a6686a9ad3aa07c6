#include "net/link_table.h"

#include "base/log.h"
#include "wire/codec.h"

namespace exo::net {

LinkTable::LinkTable(EventLoop& loop, NodeId self, LinkTableHost& host) : loop_(loop), self_(self), host_(host) {}

void LinkTable::stop(const std::string& reason) {
  stopped_ = true;
  listeners_.close();
  for (auto& [peer, link] : links_) link->close(reason);
  links_.clear();
}

// ---- links

bool LinkTable::begin(const std::shared_ptr<PeerLink>& link) {
  const Introduction& peer = link->peer();
  if (!links_.emplace(peer.id, link).second) return false;
  if (traffic_.size() >= 4 * kMaxLinks)
    std::erase_if(traffic_, [&](const auto& entry) { return !links_.contains(entry.first); });
  const LinkInfo info = link->info();
  log_info("net", "link with {} ({}) at {} over {}", peer.name, peer.id.short_hex(), info.remote_address,
           info.interface);
  host_.link_began(*link);
  start(link);
  listeners_.each([&](TransportListener& listener) { listener.on_link_up(info); });
  return true;
}

void LinkTable::start(const std::shared_ptr<PeerLink>& link) {
  PeerLink::Events events;
  const std::weak_ptr<LinkTable> weak = weak_from_this();
  const std::weak_ptr<PeerLink> weak_link = link;
  events.on_frame = [weak, peer = link->peer().id](std::span<const std::byte> frame) {
    if (const auto self = weak.lock()) self->on_frame(peer, frame);
  };
  events.on_closed = [weak, weak_link](const Error& why) {
    const auto self = weak.lock();
    const auto gone = weak_link.lock();
    if (self && gone) self->closed(gone, why);
  };
  events.on_broken = [weak, peer = link->peer().id](const Error& why) {
    if (const auto self = weak.lock(); self && !self->stopped_) self->host_.link_broke(peer, why);
  };
  link->start(std::move(events));
}

void LinkTable::closed(const std::shared_ptr<PeerLink>& link, const Error& why) {
  const auto entry = links_.find(link->peer().id);
  if (entry == links_.end() || entry->second != link) return;
  links_.erase(entry);
  host_.link_ended(link->peer().id);
  tell_down(link->peer(), why);
}

void LinkTable::end(const NodeId& peer, const std::string& reason) {
  const auto entry = links_.find(peer);
  if (entry == links_.end()) return;
  const auto link = entry->second;
  links_.erase(entry);
  host_.link_ended(peer);
  link->close(reason);
  loop_.post([self = shared_from_this(), link, reason] {
    self->tell_down(link->peer(), {ErrorCode::kUnavailable, reason});
  });
}

void LinkTable::tell_down(const Introduction& peer, const Error& why) {
  if (stopped_) return;
  log_info("net", "link with {} ({}) ended: {}", peer.name, peer.id.short_hex(), why.message);
  host_.link_end_told(peer.id);
  listeners_.each([&](TransportListener& listener) { listener.on_link_down(peer.id, why); });
}

void LinkTable::moved(const LinkInfo& now) {
  pings_.erase(now.peer);
  listeners_.each([&](TransportListener& listener) { listener.on_link_moved(now); });
}

// ---- messages

void LinkTable::on_frame(const NodeId& peer, std::span<const std::byte> frame) {
  traffic_[peer].received_bytes += frame.size();
  auto message = wire::decode(frame);
  if (!message) {
    log_warning("net", "closing the link with {}: {}", peer.short_hex(), message.error().message);
    return end(peer, "malformed message: " + message.error().message);
  }
  if (const auto* gossip = std::get_if<wire::Gossip>(&*message)) host_.heard_gossip(peer, *gossip);
  if (const auto* pong = std::get_if<wire::Pong>(&*message)) learn_round_trip(peer, pong->nonce);
  listeners_.deliver(peer, std::move(*message));
}

void LinkTable::learn_round_trip(const NodeId& peer, uint64_t nonce) {
  const auto ping = pings_.find(peer);
  if (ping == pings_.end() || ping->second.first != nonce) return;
  host_.measured_round_trip(peer, loop_.now() - ping->second.second);
  pings_.erase(ping);
}

bool LinkTable::send(const NodeId& to, wire::Message message) {
  if (stopped_) return false;
  if (to == self_) {
    loop_.post([self = shared_from_this(), m = std::move(message)]() mutable {
      self->listeners_.deliver(self->self_, std::move(m));
    });
    return true;
  }
  const auto entry = links_.find(to);
  if (entry == links_.end()) return false;
  auto frame = wire::encode(message);
  if (!frame) {
    log_error("net", "message to {} not sent: {}", to.short_hex(), frame.error().message);
    return false;
  }
  const auto* ping = std::get_if<wire::Ping>(&message);
  if (ping != nullptr && ping->nonce != 0 && ping->padding_bytes == 0) pings_[to] = {ping->nonce, loop_.now()};
  const size_t bytes = frame->size();
  if (entry->second->send(std::move(*frame))) {
    traffic_[to].sent_bytes += bytes;
    return true;
  }
  log_warning("net", "{} does not keep up: {} bytes wait for it", to.short_hex(), entry->second->queued_bytes());
  end(to, "the peer does not keep up with what is sent to it");
  return false;
}

// ---- what there is

std::shared_ptr<PeerLink> LinkTable::find(const NodeId& peer) const {
  const auto found = links_.find(peer);
  return found == links_.end() ? nullptr : found->second;
}

std::vector<LinkInfo> LinkTable::infos() const {
  std::vector<LinkInfo> infos;
  for (const auto& [peer, link] : links_) infos.push_back(link->info());
  return infos;
}

LinkTraffic LinkTable::traffic(const NodeId& peer) const {
  const auto found = traffic_.find(peer);
  return found == traffic_.end() ? LinkTraffic{} : found->second;
}

uint64_t LinkTable::total_traffic_bytes() const {
  uint64_t sum = 0;
  for (const auto& [peer, bytes] : traffic_) sum += bytes.sent_bytes + bytes.received_bytes;
  return sum;
}

}  // namespace exo::net
