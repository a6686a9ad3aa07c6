#include "store/shard_fetcher.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/log.h"

namespace exo::store {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr size_t kMaxParallelSources = 8;
constexpr int kMaxFailuresPerSource = 3;  // in a row
constexpr uint64_t kCommitBytes = 256ull << 20;
constexpr uint64_t kSpareDiskBytes = 16ull << 20;
constexpr auto kProgressPause = milliseconds(100);

struct Chunk {
  ByteRange range;
  std::set<NodeId> lacking;  // sources that do not have it
};

}  // namespace

ByteRange tensor_range(const net::FileLayout& layout, const formats::TensorView& tensor) {
  const uint64_t begin = layout.part_begin(static_cast<size_t>(tensor.file_part)) + tensor.file_offset;
  return {begin, begin + tensor.bytes()};
}

// One fetch: a thread that leads, and one per source while ranges are transferred.
class ShardFetcher::Job {
 public:
  using Done = Result<std::shared_ptr<PartialFile>>;

  Job(net::FileConnector& connector, fs::path folder, FetchRequest request,
      std::function<void(FetchProgress)> report, std::function<void(Done)> finish)
      : connector_(connector),
        folder_(std::move(folder)),
        request_(std::move(request)),
        report_(std::move(report)),
        finish_(std::move(finish)) {
    leader_ = std::thread([this] { finish_(run()); });
  }

  ~Job() {
    cancel();
    leader_.join();
  }

  void cancel() {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (net::FileConnection* connection : connections_) connection->cancel();
    changed_.notify_all();
  }

 private:
  // A connection that cancel() can reach.
  class Connection {
   public:
    Connection(Job& job, std::unique_ptr<net::FileConnection> connection)
        : job_(job), connection_(std::move(connection)) {
      const std::lock_guard lock(job_.mutex_);
      job_.connections_.insert(connection_.get());
      if (job_.cancelled_) connection_->cancel();
    }
    ~Connection() {
      const std::lock_guard lock(job_.mutex_);
      job_.connections_.erase(connection_.get());
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    net::FileConnection* operator->() { return connection_.get(); }

   private:
    Job& job_;
    std::unique_ptr<net::FileConnection> connection_;
  };

  Done run() {
    EXO_CHECK_OK(fetch_header());
    auto gguf = formats::GgufFile::open(file_->path());
    if (!gguf) return std::unexpected(std::move(gguf).error());
    EXO_TRY(wanted_, request_.choose(*gguf, file_->layout()));
    const RangeSet headers = file_->header_ranges();
    for (const ByteRange& range : headers.ranges()) wanted_.add(range);
    const RangeSet missing = wanted_.without(file_->present());
    EXO_CHECK_OK(check_room(missing.total_bytes()));
    report(true);
    fill_queue(missing);
    EXO_CHECK_OK(transfer());
    EXO_CHECK_OK(file_->commit());
    report(true);
    return file_;
  }

  Status check_room(uint64_t bytes) const {
    const uint64_t available = file_->free_disk_bytes();
    if (bytes == 0 || (available >= kSpareDiskBytes && bytes <= available - kSpareDiskBytes)) return {};
    return fail(ErrorCode::kResourceExhausted, "the disk of {} has {} bytes left, {} are needed for the layers",
                folder_.string(), available, bytes);
  }

  // ---- the header, from the first source that gives the right one

  Status fetch_header() {
    if (auto existing = PartialFile::open(folder_, request_.fingerprint); existing) {
      file_ = std::move(*existing);
      if (file_->verify_header()) return {};
    }
    Error last{ErrorCode::kUnavailable, "no peer has it"};
    for (const NodeId& source : request_.sources) {
      const Status got = fetch_header_from(source);
      if (got) return {};
      last = got.error();
      if (cancelled_) break;
      if (last.code == ErrorCode::kResourceExhausted) break;
      log_warning("store", "header of {} from {}: {}", request_.name, source.short_hex(), last.message);
    }
    return std::unexpected(std::move(last));
  }

  Status fetch_header_from(const NodeId& source) {
    EXO_TRY(auto made, connector_.connect_files(source));
    Connection connection(*this, std::move(made));
    EXO_TRY(const net::FileLayout layout, connection->layout(request_.fingerprint));
    EXO_TRY(file_, PartialFile::create(folder_, request_.fingerprint, request_.name, layout));
    const RangeSet missing = file_->header_ranges().without(file_->present());
    EXO_CHECK_OK(check_room(missing.total_bytes()));
    for (const ByteRange& range : missing.ranges()) {
      for (uint64_t at = range.begin; at < range.end;) {
        const uint64_t n = std::min(net::kMaxChunkBytes, range.end - at);
        EXO_TRY(const auto bytes, connection->read(request_.fingerprint, at, n));
        EXO_CHECK_OK(file_->write(at, bytes));
        at += n;
      }
    }
    const Status verified = file_->verify_header();
    if (!verified) {
      file_.reset();
      PartialFile::remove(folder_, request_.fingerprint);
      return verified;
    }
    return file_->commit();
  }

  // ---- the ranges, from all sources

  void fill_queue(const RangeSet& missing) {
    for (const ByteRange& range : missing.ranges()) {
      for (uint64_t at = range.begin; at < range.end; at += net::kMaxChunkBytes) {
        queue_.push_back({{at, std::min(at + net::kMaxChunkBytes, range.end)}, {}});
      }
    }
  }

  Status transfer() {
    if (queue_.empty()) return {};
    const size_t workers = std::min({request_.sources.size(), kMaxParallelSources});
    next_source_ = workers;
    std::vector<std::thread> threads;
    for (size_t i = 0; i < workers; ++i) threads.emplace_back([this, i] { work(i); });
    for (std::thread& thread : threads) thread.join();
    const std::lock_guard lock(mutex_);
    if (fatal_) return std::unexpected(*fatal_);
    if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
    if (queue_.empty()) return {};
    const Status kept = file_->commit();  // a later fetch goes on from here
    if (!kept) return kept;
    uint64_t left = 0;
    for (const Chunk& chunk : queue_) left += chunk.range.size();
    return fail(last_error_.code, "{} bytes of {} could not be had from any peer: {}", left, request_.name,
                last_error_.message);
  }

  // Serves one source after another until no chunk is left that they could give.
  void work(size_t source_index) {
    for (;;) {
      const NodeId source = request_.sources[source_index];
      const Error ended = drain(source);
      const std::lock_guard lock(mutex_);
      if (ended.code != ErrorCode::kCancelled) {
        log_warning("store", "{} from {}: {}", request_.name, source.short_hex(), ended.message);
        last_error_ = ended;
      }
      if (over() || next_source_ >= request_.sources.size()) return;
      source_index = next_source_++;
    }
  }

  bool over() const { return cancelled_ || fatal_ || (queue_.empty() && in_flight_ == 0); }

  // Fetches chunks from one source; returns why it stopped (kCancelled: nothing more to do here).
  Error drain(const NodeId& source) {
    Error last{ErrorCode::kUnavailable, ""};
    for (int failures = 0; failures < kMaxFailuresPerSource; ++failures) {
      if (failures > 0 && !pause(milliseconds(100 * failures))) break;
      auto made = connector_.connect_files(source);
      if (!made) {
        last = made.error();
        continue;
      }
      Connection connection(*this, std::move(*made));
      for (;;) {
        std::optional<Chunk> chunk = take_chunk(source);
        if (!chunk) return {ErrorCode::kCancelled, ""};
        auto bytes = connection->read(request_.fingerprint, chunk->range.begin, chunk->range.size());
        if (bytes) {
          failures = 0;
          if (!store(*chunk, *bytes)) return {ErrorCode::kCancelled, ""};
          continue;
        }
        last = bytes.error();
        const bool lacks = last.code == ErrorCode::kNotFound;
        if (lacks) chunk->lacking.insert(source);
        give_back(std::move(*chunk), last);
        if (lacks) continue;
        break;
      }
      if (last.code == ErrorCode::kPermissionDenied) break;
    }
    return last;
  }

  // Waits for a chunk that `source` may have; nullopt when there will be none.
  std::optional<Chunk> take_chunk(const NodeId& source) {
    std::unique_lock lock(mutex_);
    for (;;) {
      if (over()) return std::nullopt;
      const auto fit = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const Chunk& chunk) { return !chunk.lacking.contains(source); });
      if (fit != queue_.end()) {
        Chunk chunk = std::move(*fit);
        queue_.erase(fit);
        ++in_flight_;
        return chunk;
      }
      if (in_flight_ == 0) return std::nullopt;
      changed_.wait(lock);  // what another source has in hand may come back
    }
  }

  void give_back(Chunk chunk, const Error& why) {
    const std::lock_guard lock(mutex_);
    queue_.push_front(std::move(chunk));
    last_error_ = why;
    --in_flight_;
    changed_.notify_all();
  }

  bool store(const Chunk& chunk, std::span<const std::byte> bytes) {
    Status stored = file_->write(chunk.range.begin, bytes);
    bool commit_now = false;
    {
      const std::lock_guard lock(mutex_);
      uncommitted_ += bytes.size();
      if (uncommitted_ >= kCommitBytes) {
        uncommitted_ = 0;
        commit_now = true;
      }
    }
    if (stored && commit_now) stored = file_->commit();
    {
      const std::lock_guard lock(mutex_);
      --in_flight_;
      if (!stored) fatal_ = stored.error();
      changed_.notify_all();
    }
    if (stored) report(false);
    return stored.has_value();
  }

  bool pause(milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time, [this] { return over(); });
    return !over();
  }

  void report(bool always) {
    const std::lock_guard lock(report_mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!always && now - reported_at_ < kProgressPause) return;
    reported_at_ = now;
    const uint64_t total = wanted_.total_bytes();
    report_({total - wanted_.without(file_->present()).total_bytes(), total});
  }

  net::FileConnector& connector_;
  const fs::path folder_;
  const FetchRequest request_;
  const std::function<void(FetchProgress)> report_;
  const std::function<void(Done)> finish_;
  std::shared_ptr<PartialFile> file_;
  RangeSet wanted_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<Chunk> queue_;
  size_t in_flight_ = 0;
  size_t next_source_ = 0;
  uint64_t uncommitted_ = 0;
  std::optional<Error> fatal_;
  Error last_error_{ErrorCode::kUnavailable, "no peer has it"};
  std::set<net::FileConnection*> connections_;
  std::atomic<bool> cancelled_ = false;

  std::mutex report_mutex_;
  std::chrono::steady_clock::time_point reported_at_;
  std::thread leader_;
};

struct ShardFetcher::Impl {
  net::Clock& clock;
  net::FileConnector& connector;
  fs::path folder;
  std::map<FetchId, std::unique_ptr<Job>> jobs;
  FetchId next_id = 1;
  std::shared_ptr<Impl*> self = std::make_shared<Impl*>(this);  // null once destroyed: posted callbacks look here
};

ShardFetcher::ShardFetcher(net::Clock& clock, net::FileConnector& connector, fs::path folder)
    : impl_(new Impl{clock, connector, std::move(folder)}) {}

ShardFetcher::~ShardFetcher() {
  *impl_->self = nullptr;
  for (auto& [id, job] : impl_->jobs) job->cancel();
}

FetchId ShardFetcher::fetch(FetchRequest request, std::function<void(const FetchProgress&)> progress,
                            std::function<void(Result<std::shared_ptr<PartialFile>>)> done) {
  const FetchId id = impl_->next_id++;
  net::Clock& clock = impl_->clock;
  const auto alive = [self = impl_->self, id] { return *self != nullptr && (*self)->jobs.contains(id); };
  auto report = [&clock, alive, progress = std::move(progress)](FetchProgress now) {
    clock.post([=] {
      if (alive() && progress) progress(now);
    });
  };
  auto finish = [&clock, alive, id, self = impl_->self, done = std::move(done)](Job::Done result) {
    clock.post([=]() mutable {
      if (!alive()) return;
      (*self)->jobs.erase(id);  // joins the thread, which has nothing left to do
      done(std::move(result));
    });
  };
  impl_->jobs.emplace(id, std::make_unique<Job>(impl_->connector, impl_->folder, std::move(request),
                                                std::move(report), std::move(finish)));
  return id;
}

void ShardFetcher::cancel(FetchId fetch) { impl_->jobs.erase(fetch); }

}  // namespace exo::store
