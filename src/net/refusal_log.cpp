#include "net/refusal_log.h"

#include <algorithm>

namespace exo::net {
namespace {

constexpr size_t kMaxEntries = 64;
constexpr Duration kRecent = std::chrono::minutes(2);

std::string_view host_of(const std::string& address) {
  return std::string_view(address).substr(0, address.rfind(':'));  // incoming connections change their port
}

}  // namespace

bool RefusalLog::add(Refusal refusal, std::optional<NodeId> peer, TimePoint now) {
  const auto same = std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) {
    const bool same_peer = peer && e.peer ? *peer == *e.peer
                                          : host_of(e.refusal.address) == host_of(refusal.address) &&
                                                e.refusal.peer_name == refusal.peer_name;
    return same_peer && e.refusal.reason == refusal.reason;
  });
  bool news = true;
  if (same != entries_.end()) {
    news = now - same->at > kRecent;
    if (!peer) peer = same->peer;
    refusal.address = same->refusal.address;  // one peer, seen at many addresses: the first stays
    entries_.erase(same);
  }
  entries_.push_front({std::move(refusal), peer, now});
  if (entries_.size() > kMaxEntries) entries_.pop_back();
  return news;
}

void RefusalLog::admitted(const NodeId& peer) {
  std::erase_if(entries_, [&](const Entry& e) { return e.peer == peer; });
}

std::vector<Refusal> RefusalLog::recent(TimePoint now) const {
  std::vector<Refusal> result;
  for (const Entry& entry : entries_) {
    if (now - entry.at <= kRecent) result.push_back(entry.refusal);
  }
  return result;
}

}  // namespace exo::net
