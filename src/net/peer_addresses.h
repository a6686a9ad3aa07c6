#pragma once
// Where nodes that a link was had with can be dialled for files and groups. Any thread.

#include <map>
#include <mutex>
#include <vector>

#include "base/ids.h"
#include "net/file_connection.h"

namespace exo::net {

class PeerAddresses {
 public:
  // Best first. Of peers beyond `most`, those for which `keep` is false are forgotten.
  template <typename Keep>
  void remember(const NodeId& peer, std::vector<FileEndpoint> endpoints, size_t most, const Keep& keep) {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (endpoints_.size() >= most) std::erase_if(endpoints_, [&](const auto& entry) { return !keep(entry.first); });
    endpoints_[peer] = std::move(endpoints);
  }

  // Empty: none are known, or no more after stop().
  std::vector<FileEndpoint> of(const NodeId& peer) const {
    const std::lock_guard lock(mutex_);
    const auto entry = endpoints_.find(peer);
    return entry == endpoints_.end() ? std::vector<FileEndpoint>() : entry->second;
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    endpoints_.clear();
  }

 private:
  mutable std::mutex mutex_;
  std::map<NodeId, std::vector<FileEndpoint>> endpoints_;
  bool stopped_ = false;
};

}  // namespace exo::net
