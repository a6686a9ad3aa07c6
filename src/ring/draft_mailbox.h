#pragma once
// Between the network thread, which orders guesses, and the thread that makes them: of each sequence the newest
// order only, so that nothing is computed that nobody wants any more and nothing piles up.

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "ring/draft_cache.h"
#include "ring/drafter.h"

namespace exo::ring {

// Whom guesses go to. Network thread; null: nobody any more.
struct DraftClient {
  DraftSink* sink = nullptr;
  int32_t n_vocab = 0;
};

struct DraftMail {
  struct Ordered {
    DraftOrder order;
    std::shared_ptr<DraftClient> client;
  };
  std::map<DraftCache::Key, Ordered> orders;
  std::vector<DraftCache::Key> forgotten;
  std::vector<uint64_t> gone;  // who will not ask any more
  bool empty() const { return orders.empty() && forgotten.empty() && gone.empty(); }
};

class DraftMailbox {
 public:
  void order(const DraftCache::Key& key, DraftMail::Ordered ordered) {
    change([&] { mail_.orders.insert_or_assign(key, std::move(ordered)); });
  }
  void forget(const DraftCache::Key& key) {
    change([&] {
      mail_.orders.erase(key);
      mail_.forgotten.push_back(key);
    });
  }
  void leave(uint64_t client) {
    change([&] {
      std::erase_if(mail_.orders, [client](const auto& item) { return item.first.first == client; });
      mail_.gone.push_back(client);
    });
  }
  void close() {
    change([&] { closed_ = true; });
  }

  // What came since, waiting for it if asked to. False once closed.
  bool take(DraftMail& mail, bool wait) {
    std::unique_lock lock(mutex_);
    if (wait) news_.wait(lock, [this] { return closed_ || !mail_.empty(); });
    mail = std::exchange(mail_, {});
    return !closed_;
  }
  bool has_news() const {
    const std::lock_guard lock(mutex_);
    return closed_ || !mail_.empty();
  }

  std::atomic<double> guess_s = 0;  // the other way: Drafter::guess_s

 private:
  template <typename Change>
  void change(Change apply) {
    {
      const std::lock_guard lock(mutex_);
      if (!closed_) apply();
    }
    news_.notify_one();
  }

  mutable std::mutex mutex_;
  std::condition_variable news_;
  DraftMail mail_;
  bool closed_ = false;
};

}  // namespace exo::ring
