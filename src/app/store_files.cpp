#include "app/store_files.h"

#include <algorithm>
#include <condition_variable>
#include <optional>

#include "app/model_argument.h"
#include "app/model_facts.h"
#include "app/stage_ranges.h"
#include "app/version.h"
#include "base/log.h"
#include "model/load.h"

namespace exo::app {

namespace {

store::StoreOptions store_options(const NodeOptions& options) {
  store::StoreOptions result;
  result.data_dir = options.data_dir;
  result.model_dirs = options.model_dirs;
  result.quantise = options.quantise;
  result.version = kVersion;
  std::error_code ignored;
  for (const auto& model : {options.model, options.draft})
    if (!model.empty() && std::filesystem::exists(model, ignored)) result.model_files.emplace_back(model);
  result.embedded.push_back({kDemoModelName, demo_model_bytes()});
  return result;
}

// Where a fetch running on the network thread meets the thread that waits for it.
struct Rendezvous {
  std::mutex mutex;
  std::condition_variable changed;
  store::FetchProgress progress;
  std::optional<Result<std::shared_ptr<store::PartialFile>>> result;
  store::FetchId id = 0;
};

}  // namespace

StoreFiles::StoreFiles(const NodeOptions& options, net::EventLoop& loop, net::NodeNetwork& network)
    : loop_(loop), connector_(network), store_(store_options(options)) {
  store_.refresh();
  fetcher_ = std::make_unique<store::ShardFetcher>(loop, network, store_.shards_dir());
  hasher_ = std::make_unique<store::ContentHasher>(store_, [this] {
    loop_.post([this] {
      if (told_) told_();
    });
  });
}

StoreFiles::~StoreFiles() = default;

void StoreFiles::stop() {
  stopping_ = true;
  fetcher_.reset();
}
void StoreFiles::stop_hashing() { hasher_->stop(); }

std::string StoreFiles::name_of(const std::string& model_option) {
  std::error_code ignored;
  if (model_option.empty() || !std::filesystem::exists(model_option, ignored)) return model_option;
  const auto stored = store_.find(model_option);
  if (!stored) log_error("store", "{}: {}", model_option, stored.error().message);
  return stored ? stored->name : model_option;
}

net::FileSourceLookup StoreFiles::source_lookup() {
  return [this](std::string_view fingerprint) { return store_.file_source(fingerprint); };
}

Result<std::shared_ptr<const formats::GgufFile>> StoreFiles::open_complete(const std::string& fingerprint) {
  EXO_TRY(const auto stored, store_.find_fingerprint(fingerprint));
  if (!stored.complete) return fail(ErrorCode::kNotFound, "{} is here in parts only", stored.name);
  std::lock_guard lock(mutex_);
  if (auto open = open_[fingerprint].lock()) return open;
  EXO_TRY(auto file, store::ModelStore::open(stored));
  auto shared = std::make_shared<const formats::GgufFile>(std::move(file));
  open_[fingerprint] = shared;
  return shared;
}

Result<wire::ModelFacts> StoreFiles::facts_of_stored(const store::StoredModel& stored) {
  EXO_TRY(const auto file, store::ModelStore::open(stored));
  EXO_TRY(const auto info, model::read_model_info(file));
  return facts_of(info, stored.name, stored.fingerprint, stored.total_bytes());
}

std::vector<wire::ModelOffer> StoreFiles::offers() {
  store_.refresh();
  std::vector<wire::ModelOffer> result;
  for (const auto& stored : store_.models()) {
    std::lock_guard lock(mutex_);
    auto known = facts_.find(stored.fingerprint);
    if (known == facts_.end()) {
      auto facts = facts_of_stored(stored);
      if (!facts) log_warning("store", "{} cannot be run: {}", stored.name, facts.error().message);
      // A model that cannot be run is remembered without layers, so that it is looked at once only.
      known = facts_.emplace(stored.fingerprint, facts ? *facts : wire::ModelFacts{}).first;
    }
    if (known->second.n_layers > 0)
      result.push_back({known->second, stored.complete, store_.content_root(stored.fingerprint)});
  }
  return result;
}

Result<std::shared_ptr<const formats::GgufFile>> StoreFiles::fetch(const std::string& fingerprint, Chooser choose,
                                                                   const model::LoadProgress& progress) {
  auto meeting = std::make_shared<Rendezvous>();
  loop_.post([this, fingerprint, choose = std::move(choose), meeting] {
    auto finish = [meeting](Result<std::shared_ptr<store::PartialFile>> result) {
      std::lock_guard lock(meeting->mutex);
      meeting->result = std::move(result);
      meeting->changed.notify_all();
    };
    if (!fetcher_) return finish(fail(ErrorCode::kCancelled, "this device is stopping"));
    auto now = situation(fingerprint);
    store::FetchRequest request{fingerprint,          now.name, now.pin, std::move(now.sources),
                                std::move(now.names), choose};
    if (request.sources.empty())
      return finish(fail(ErrorCode::kUnavailable, "no reachable device has this model any more"));
    meeting->id = fetcher_->fetch(
        std::move(request),
        [meeting](const store::FetchProgress& p) {
          std::lock_guard lock(meeting->mutex);
          meeting->progress = p;
          meeting->changed.notify_all();
        },
        finish);
  });

  std::unique_lock lock(meeting->mutex);
  while (!meeting->result) {
    meeting->changed.wait_for(lock, std::chrono::milliseconds(200));
    const auto now = meeting->progress;
    lock.unlock();
    const bool go_on = !stopping_ && (!progress || progress(now.done_bytes, now.total_bytes));
    lock.lock();
    if (go_on || meeting->result) continue;
    loop_.post([this, meeting] {
      if (fetcher_) fetcher_->cancel(meeting->id);
    });
    return fail(ErrorCode::kCancelled, "cancelled");
  }
  if (!*meeting->result) return std::unexpected(meeting->result->error());
  const auto partial = **meeting->result;
  lock.unlock();
  EXO_TRY(auto file, formats::GgufFile::open(partial->path()));
  return std::make_shared<const formats::GgufFile>(std::move(file));
}

Result<std::shared_ptr<const formats::GgufFile>> StoreFiles::open_layers(const std::string& fingerprint,
                                                                         LayerRange layers,
                                                                         const model::TensorShare& share,
                                                                         const model::LoadProgress& progress) {
  const Chooser choose = [layers, share](const formats::GgufFile& file, const net::FileLayout& layout) {
    return stage_ranges(file, layout, layers, share);
  };
  if (auto complete = open_complete(fingerprint)) {
    const Status right = check_own(fingerprint, **complete, choose, progress);
    if (right) return complete;
    if (right.error().code == ErrorCode::kCancelled) return std::unexpected(right.error());
    if (right.error().code != ErrorCode::kCorrupt) {
      // Nobody can be asked now. Its owner's own file is used; that it differs is found when the roots are told.
      log_warning("store", "{}: the own copy is used", right.error().message);
      return complete;
    }
    log_error("store", "{}", right.error().message);
  }
  return fetch(fingerprint, choose, progress);
}

Result<std::shared_ptr<const formats::GgufFile>> StoreFiles::open_header(const std::string& fingerprint) {
  if (auto complete = open_complete(fingerprint)) return complete;
  return fetch(
      fingerprint,
      [](const formats::GgufFile&, const net::FileLayout&) -> Result<store::RangeSet> { return store::RangeSet(); },
      {});
}

}  // namespace exo::app
