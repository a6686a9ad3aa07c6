#pragma once
// The blocks that a ring's prefix cache has offered to its successor (serve/cache_import.h): they do not change
// until they are released, the successor has been silent for too long, or the lease is destroyed. Network thread
// only.

#include <vector>

#include "net/clock.h"
#include "net/transport.h"
#include "serve/prefix_cache.h"
#include "wire/messages.h"

namespace exo::serve {

class CacheLease {
 public:
  // Sends the offer. Blocks that no sequence uses are in it only as far as the ring, which still serves, keeps
  // enough others. The cache outlives the lease.
  CacheLease(net::Clock& clock, net::Transport& transport, PrefixCache& cache, const NodeId& borrower,
             const wire::CacheQuery& query);
  ~CacheLease();
  CacheLease(const CacheLease&) = delete;
  CacheLease& operator=(const CacheLease&) = delete;

  const NodeId& borrower() const { return borrower_; }
  const Epoch& epoch() const { return epoch_; }  // the borrower's
  // Answered: whether the blocks have been held until now.
  void on_release(const wire::CacheRelease& release);
  // No block is held any more: all are released, or the lease has ended early.
  bool over() const { return over_; }
  void end();

  static constexpr net::Duration kSilence = std::chrono::seconds(10);  // after which the lease ends

 private:
  void send_offer(const wire::CacheQuery& query, const std::vector<PrefixCache::Cached>& listed);
  void watch();

  net::Clock& clock_;
  net::Transport& transport_;
  PrefixCache& cache_;
  const NodeId borrower_;
  const Epoch epoch_;
  const uint64_t nonce_;
  std::vector<BlockId> blocks_;  // offered; those before released_ are not held any more
  size_t released_ = 0;
  bool over_ = false;
  net::TimerId timer_ = 0;
};

}  // namespace exo::serve
