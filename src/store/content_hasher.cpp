#include "store/content_hasher.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "base/log.h"
#include "net/caught.h"
#include "store/background_priority.h"
#include "store/piece_table.h"

namespace exo::store {

namespace {

constexpr int kRestFactor = 9;  // how much longer than working it rests while the device computes
constexpr auto kLongestRest = std::chrono::milliseconds(500);

}  // namespace

ContentHasher::ContentHasher(ModelStore& store, std::function<void()> done)
    : store_(store), done_(std::move(done)), thread_([this] { run(); }) {}

void ContentHasher::want(std::set<std::string> fingerprints, bool gently) {
  const std::lock_guard lock(mutex_);
  gently_ = gently;
  if (fingerprints == wanted_) return;
  wanted_ = std::move(fingerprints);
  changed_.notify_all();
}

void ContentHasher::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

bool ContentHasher::wants(const std::string& fingerprint) {
  const std::lock_guard lock(mutex_);
  return !stopping_ && wanted_.contains(fingerprint);
}

void ContentHasher::run() {
  take_background_priority();
  for (;;) {
    std::set<std::string> wanted;
    {
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
      wanted = wanted_;
    }
    const Status done = net::caught([&]() -> Status {
      hash_all(wanted);
      return {};
    });
    if (!done) log_warning("store", "hashing: {}", done.error().message);
    std::unique_lock lock(mutex_);
    // A model that could not be read is tried again when the wishes change, or after a while.
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return stopping_ || wanted_ != wanted; });
  }
}

void ContentHasher::hash_all(const std::set<std::string>& wanted) {
  std::vector<StoredModel> models;
  for (const std::string& fingerprint : wanted) {
    auto model = store_.find_fingerprint(fingerprint);
    if (model && model->complete && store_.content_root(fingerprint).empty()) models.push_back(std::move(*model));
  }
  // Views last: each of their bytes has to be made.
  std::ranges::sort(models, {}, [](const StoredModel& m) { return std::pair(m.is_view(), m.total_bytes()); });
  for (const StoredModel& model : models) hash(model.fingerprint);
}

void ContentHasher::hash(const std::string& fingerprint) {
  const auto pieces = store_.pieces(fingerprint);
  const auto source = store_.source_for_hashing(fingerprint);
  if (pieces == nullptr || source == nullptr) return;
  const uint64_t total = source->layout().total_bytes();
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::steady_clock::duration busy{};
  uint64_t bytes = 0;
  for (auto piece = pieces->unknown_from(0); piece; piece = pieces->unknown_from(*piece)) {
    if (!wants(fingerprint)) return;
    const auto started = std::chrono::steady_clock::now();
    const auto hashed = pieces->hashes(*source, *piece, 1);
    if (!hashed) return log_warning("store", "hashing {}: {}", fingerprint.substr(0, 8), hashed.error().message);
    const auto took = std::chrono::steady_clock::now() - started;
    busy += took;
    bytes += piece_range(*piece, total).size();
    std::unique_lock lock(mutex_);
    if (!gently_) continue;
    const auto rest = std::min<std::chrono::steady_clock::duration>(kRestFactor * took, kLongestRest);
    changed_.wait_for(lock, rest, [this] { return stopping_; });
  }
  store_.keep_manifest(fingerprint);
  const auto seconds = [](auto time) { return std::chrono::duration<double>(time).count(); };
  log_info("store", "hashed {} of {} MB of {} in {:.1f} s, {:.0f} MB/s while at it", bytes / 1000000,
           total / 1000000, fingerprint.substr(0, 8), seconds(std::chrono::steady_clock::now() - begin),
           static_cast<double>(bytes) / 1e6 / std::max(seconds(busy), 1e-9));
  done_();
}

}  // namespace exo::store
