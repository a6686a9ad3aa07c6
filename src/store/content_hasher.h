#pragma once
// Completes the hashes of models that others want to compare or to fetch, on one thread that gives way to others.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "store/model_store.h"

namespace exo::store {

class ContentHasher {
 public:
  // `done` is called on the hasher's thread when the root of a model has become known. `store` outlives it.
  ContentHasher(ModelStore& store, std::function<void()> done);
  ~ContentHasher() { stop(); }
  // Models to hash, by fingerprint; those that are not here as a whole are passed over. While `gently`, nine tenths
  // of the time are left to others. Any thread.
  void want(std::set<std::string> fingerprints, bool gently);
  void stop();  // waits for the piece that it reads

 private:
  void run();
  void hash_all(const std::set<std::string>& wanted);
  void hash(const std::string& fingerprint);
  bool wants(const std::string& fingerprint);

  ModelStore& store_;
  const std::function<void()> done_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::set<std::string> wanted_;
  bool gently_ = false, stopping_ = false;
  std::thread thread_;
};

}  // namespace exo::store
