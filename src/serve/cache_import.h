#pragma once
// A new ring takes over what the ring before has cached (docs/adr/0017). Runs beside the scheduler of the new
// epoch; network thread.
//
//  1. It asks the scheduler of the previous epoch what its prefix cache has: blocks by their tokens
//     (serve/cache_lease.h holds them there).
//  2. For some of them at a time it takes free blocks and has every stage of the own ring fill them
//     (ring/cache_filler.h).
//  3. When all stages have done so, the previous scheduler says whether the blocks had not changed until then.
//  4. Only then do they enter the own prefix cache, in the order of their texts.
//
// Whatever fails, or takes too long, leaves blocks out, and they are computed as ever. Requests whose next blocks
// are on their way wait for them; others do not.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/transport.h"
#include "serve/prefix_cache.h"
#include "wire/messages.h"

namespace exo::serve {

class CacheImport {
 public:
  struct Options {
    std::string fingerprint, model_name;
    Epoch epoch, previous_epoch;
    NodeId lender;               // has the scheduler of the previous epoch
    std::vector<NodeId> stages;  // of the own ring, without repetitions
    uint64_t nonce = 0;          // never the same twice on this node
    int32_t batch_blocks = 8;
    std::function<MicroBatchId()> next_step;  // of the own scheduler
    net::Duration ask_deadline = std::chrono::seconds(1);
    net::Duration progress_deadline = std::chrono::seconds(5);  // without a block
    net::Duration deadline = std::chrono::seconds(20);          // all together
  };
  // `progress(blocks, bytes)`: so many have entered the cache; also (0, 0) when requests that wait need not do so
  // any more. It may destroy neither the import nor the cache.
  using Progress = std::function<void(uint64_t blocks, uint64_t bytes)>;

  // Asks at once. The cache outlives the import.
  CacheImport(net::Clock& clock, net::Transport& transport, PrefixCache& cache, Options options, Progress progress);
  ~CacheImport();
  CacheImport(const CacheImport&) = delete;
  CacheImport& operator=(const CacheImport&) = delete;

  // More of these tokens than is cached is on its way, or may be.
  bool awaits(std::span<const TokenId> tokens) const;
  bool over() const { return phase_ == Phase::kOver; }

  void on_offer(const NodeId& from, wire::CacheOffer offer);
  void on_filled(const NodeId& from, const wire::CacheFilled& filled);
  void on_released(const NodeId& from, const wire::CacheReleased& released);
  void on_link_down(const NodeId& peer);

 private:
  enum class Phase { kAsking, kFilling, kOver };
  struct Block {
    BlockId there;
    int32_t parent = -1;
    std::vector<TokenId> tokens;
    std::vector<int32_t> children;
    PrefixCache::ChainId chain = 0;  // once it is cached here
  };
  struct Batch {
    uint64_t id = 0;
    size_t end = 0;             // of the offer, up to here
    std::vector<size_t> which;  // places in the offer
    std::vector<BlockId> here;
    std::set<NodeId> missing;  // stages that have not answered
    uint64_t bytes = 0;
    bool asked = false;  // whether the blocks were held
  };

  bool take_offer(const wire::CacheOffer& offer);
  PrefixCache::ChainId parent_chain(const Block& block) const;
  void fill_next();
  void ask_next();
  void insert(Batch& batch);
  void end(const std::string& why);
  void restart_timer(net::Duration deadline);

  net::Clock& clock_;
  net::Transport& transport_;
  PrefixCache& cache_;
  const Options options_;
  const Progress progress_;
  const net::TimePoint began_;
  Phase phase_ = Phase::kAsking;
  std::vector<Block> offered_;
  std::vector<int32_t> first_blocks_;  // of texts
  size_t next_ = 0, end_ = 0;          // of the offer: not yet in a batch; beyond which there is no room
  std::deque<Batch> batches_;          // on their way, in order
  uint64_t last_batch_;
  uint64_t carried_blocks_ = 0, carried_bytes_ = 0;
  net::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::serve
