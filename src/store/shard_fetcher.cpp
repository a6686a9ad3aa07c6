#include "store/shard_fetcher.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/log.h"
#include "net/caught.h"
#include "store/chunk_queue.h"
#include "store/content_proof.h"
#include "store/header_copy.h"
#include "store/piece_check.h"
#include "store/work_threads.h"

namespace exo::store {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

namespace {

constexpr size_t kMaxParallelSources = 8;
constexpr int kMaxFailuresPerSource = 3;  // in a row
constexpr uint64_t kAheadBytes = 32ull << 20;
constexpr uint64_t kCommitBytes = 256ull << 20;
constexpr uint64_t kSpareDiskBytes = 16ull << 20;
constexpr auto kProgressPause = milliseconds(100);

}  // namespace

ByteRange tensor_range(const net::FileLayout& layout, const formats::TensorView& tensor) {
  const uint64_t begin = layout.part_begin(static_cast<size_t>(tensor.file_part)) + tensor.file_offset;
  return {begin, begin + tensor.bytes()};
}

// The copy of one model that all fetches of it write to: each with a note of its own they would undo one another's.
struct ShardFetcher::SharedFile {
  std::mutex mutex;  // held while the header comes
  std::weak_ptr<PartialFile> file;
};

// One fetch: a thread that leads, and one per source while ranges are transferred.
class ShardFetcher::Job {
 public:
  using Done = Result<std::shared_ptr<PartialFile>>;

  Job(net::FileConnector& connector, fs::path folder, std::shared_ptr<SharedFile> shared, FetchRequest request,
      std::function<void(FetchProgress)> report, std::function<void(Done)> finish)
      : connector_(connector),
        folder_(std::move(folder)),
        shared_(std::move(shared)),
        request_(std::move(request)),
        report_(std::move(report)),
        finish_(std::move(finish)) {
    leader_ = std::thread([this] { finish_(net::caught([this] { return run(); })); });
  }

  ~Job() {
    cancel();
    leader_.join();
  }

  void cancel() {
    queue_.end({ErrorCode::kCancelled, "cancelled"});
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    for (net::FileConnection* connection : connections_) connection->cancel();
    if (proof_) proof_->cancel();
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
    net::FileConnection& get() { return *connection_; }

   private:
    Job& job_;
    std::unique_ptr<net::FileConnection> connection_;
  };

  Done run() {
    EXO_CHECK_OK(fetch_header());
    auto gguf = formats::GgufFile::open(file_->path());
    if (!gguf) return std::unexpected(std::move(gguf).error());
    EXO_TRY(const RangeSet wanted, request_.choose(*gguf, file_->layout()));
    total_bytes_ = file_->layout().total_bytes();
    const std::vector<uint64_t> pieces = pieces_of(wanted);
    for (const uint64_t piece : pieces) wanted_bytes_ += piece_range(piece, total_bytes_).size();
    if (!pieces.empty()) EXO_CHECK_OK(fetch_pieces(pieces));
    EXO_CHECK_OK(file_->commit());
    report(true);
    return file_;
  }

  Status fetch_pieces(const std::vector<uint64_t>& pieces) {
    report(true);
    file_->forget_changed();
    EXO_CHECK_OK(establish_proof());
    EXO_TRY(const auto missing, missing_of(pieces));
    uint64_t bytes = 0;
    for (const uint64_t piece : missing) bytes += piece_range(piece, total_bytes_).size();
    EXO_CHECK_OK(check_room(bytes));
    report(true);
    queue_.fill(missing);
    EXO_CHECK_OK(transfer(missing));
    if (const auto manifest = proof_->manifest()) EXO_CHECK_OK(file_->keep_manifest(manifest->bytes()));
    return {};
  }

  Status establish_proof() {
    auto proof = std::make_shared<ContentProof>(
        connector_,
        ProofRequest{request_.fingerprint, request_.name, total_bytes_, request_.content, request_.sources});
    {
      const std::lock_guard lock(mutex_);
      if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
      proof_ = proof;
    }
    const auto kept = file_->manifest();
    return proof->establish(kept ? **kept : std::vector<std::byte>());
  }

  // Those that are not here, or not as they have to be.
  Result<std::vector<uint64_t>> missing_of(const std::vector<uint64_t>& pieces) {
    std::vector<uint64_t> missing, here;
    for (const uint64_t piece : pieces) {
      const ByteRange range = piece_range(piece, total_bytes_);
      (file_->has(range.begin, range.size()) ? here : missing).push_back(piece);
    }
    const auto own = [this](uint64_t piece) -> Result<net::Digest> {
      if (const auto checked = file_->checked(piece)) return *checked;
      const ByteRange range = piece_range(piece, total_bytes_);
      std::vector<std::byte> bytes(range.size());
      EXO_CHECK_OK(file_->read(range.begin, bytes));
      const net::Digest hash = net::sha256(bytes);
      EXO_CHECK_OK(file_->note_checked(piece, hash));
      return hash;
    };
    const auto progress = [this](uint64_t bytes) {
      done_bytes_ += bytes;
      report(false);
      return !cancelled_;
    };
    EXO_TRY(const auto damaged, differing_pieces(here, total_bytes_, own, *proof_, progress));
    for (const uint64_t piece : damaged) {
      const ByteRange range = piece_range(piece, total_bytes_);
      file_->drop(range);
      done_bytes_ -= range.size();
    }
    if (!damaged.empty()) {
      log_warning("store",
                  "{} of {} pieces of {} on the disk are damaged or of other weights: they are fetched again",
                  damaged.size(), here.size(), request_.name);
    }
    missing.insert(missing.end(), damaged.begin(), damaged.end());
    std::sort(missing.begin(), missing.end());
    return missing;
  }

  Status check_room(uint64_t bytes) const {
    const uint64_t available = file_->free_disk_bytes();
    if (bytes == 0 || (available >= kSpareDiskBytes && bytes <= available - kSpareDiskBytes)) return {};
    return fail(ErrorCode::kResourceExhausted, "the disk of {} has {} bytes left, {} are needed for the layers",
                folder_.string(), available, bytes);
  }

  // ---- the header, from the first source that gives the right one

  Status fetch_header() {
    const std::lock_guard lock(shared_->mutex);
    file_ = shared_->file.lock();
    std::error_code ignored;
    if (file_ && fs::exists(file_->path(), ignored) && file_->verify_header()) return {};
    EXO_CHECK_OK(open_with_header());
    shared_->file = file_;
    return {};
  }

  Status open_with_header() {
    if (auto existing = PartialFile::open(folder_, request_.fingerprint); existing) {
      file_ = std::move(*existing);
      if (file_->verify_header()) return {};
      // Damaged: it comes again, and the rest stays.
      const RangeSet headers = file_->header_ranges();
      for (const ByteRange& range : headers.ranges()) file_->drop(range);
      EXO_CHECK_OK(file_->commit());
    }
    Error last{ErrorCode::kUnavailable, "no peer has it"};
    for (const NodeId& source : request_.sources) {
      const Status got = fetch_header_from(source);
      if (got) return {};
      last = got.error();
      if (cancelled_) break;
      if (last.code == ErrorCode::kResourceExhausted) break;
      log_warning("store", "header of {} from {}: {}", request_.name, name_of(source), last.message);
    }
    return std::unexpected(std::move(last));
  }

  Status fetch_header_from(const NodeId& source) {
    EXO_TRY(auto made, connector_.connect_files(source));
    Connection connection(*this, std::move(made));
    EXO_TRY(const HeaderCopy header, HeaderCopy::fetch(connection.get(), request_.fingerprint));
    const net::FileLayout& layout = header.layout();
    EXO_TRY(file_, PartialFile::create(folder_, request_.fingerprint, request_.name, layout));
    EXO_CHECK_OK(check_room(header.total_bytes()));
    for (size_t i = 0; i < layout.parts.size(); ++i)
      EXO_CHECK_OK(file_->write(layout.part_begin(i), header.of_part(i)));
    return file_->commit();
  }

  // ---- the ranges, from all sources

  Status transfer(const std::vector<uint64_t>& missing) {
    const size_t workers = std::min({request_.sources.size(), kMaxParallelSources, queue_.chunks()});
    next_source_ = workers;
    const auto end = [this](const Error& why) { queue_.end(why); };
    WorkThreads threads;
    for (size_t i = 0; i < workers; ++i) threads.start([this, i] { work(i); }, end);
    if (!missing.empty() && proof_->manifest() == nullptr) threads.start([&] { ask_ahead(missing); }, end);
    threads.join();
    const Status outcome = queue_.outcome();
    if (outcome || outcome.error().code == ErrorCode::kCancelled) return outcome;
    EXO_CHECK_OK(file_->commit());  // a later fetch goes on from here
    return fail(outcome.error().code, "{} bytes of {} could not be had from any device: {}",
                wanted_bytes_ - done_bytes_, request_.name, outcome.error().message);
  }

  // Has the origin hash pieces before they come, so that nobody waits for that. Not far ahead: it has read them
  // then, and is about to send them.
  void ask_ahead(const std::vector<uint64_t>& missing) {
    const uint64_t before = done_bytes_;
    for (size_t i = 0; i < missing.size(); i += net::kMaxPieceHashes / 2) {
      while (i * net::kPieceBytes > done_bytes_ - before + kAheadBytes) {
        if (!queue_.pause(milliseconds(2))) return;
      }
      if (queue_.over() || !proof_->expected(missing[i], 1)) return;
    }
  }

  // Serves one source after another until no chunk is left that they could give.
  void work(size_t source_index) {
    for (;;) {
      const NodeId source = request_.sources[source_index];
      const Error ended = drain(source);
      if (ended.code != ErrorCode::kCancelled) {
        log_warning("store", "{} from {}: {}", request_.name, name_of(source), ended.message);
        queue_.note(ended);
      }
      if (queue_.over()) return;
      source_index = next_source_++;
      if (source_index >= request_.sources.size()) return;
    }
  }

  std::string name_of(const NodeId& node) const {
    const auto found = request_.names.find(node);
    return found == request_.names.end() ? node.short_hex()
                                         : fmt::format("{} ({})", found->second, node.short_hex());
  }

  // Fetches chunks from one source; returns why it stopped (kCancelled: nothing more to do here).
  Error drain(const NodeId& source) {
    Error last{ErrorCode::kUnavailable, ""};
    for (int failures = 0; failures < kMaxFailuresPerSource; ++failures) {
      if (failures > 0 && !queue_.pause(milliseconds(100 * failures))) break;
      auto made = connector_.connect_files(source);
      if (!made) {
        last = made.error();
        continue;
      }
      Connection connection(*this, std::move(*made));
      for (;;) {
        std::optional<Chunk> chunk = queue_.take(source);
        if (!chunk) return {ErrorCode::kCancelled, ""};
        const Status got = fetch_chunk(*chunk, connection, source);
        if (got) {
          failures = 0;
          queue_.done();
          continue;
        }
        last = got.error();
        if (last.code == ErrorCode::kNotFound) {
          queue_.lacks(std::move(*chunk), source, last);
          continue;
        }
        queue_.give_back(std::move(*chunk), last);
        break;
      }
      // Who sends something else once is not asked again.
      if (last.code == ErrorCode::kPermissionDenied || last.code == ErrorCode::kCorrupt) break;
    }
    return last;
  }

  // kCorrupt: the source sent other weights. Errors that concern all sources end the fetch.
  Status fetch_chunk(const Chunk& chunk, Connection& connection, const NodeId& source) {
    const uint64_t begin = piece_range(chunk.first_piece, total_bytes_).begin;
    const uint64_t end = piece_range(chunk.first_piece + chunk.pieces - 1, total_bytes_).end;
    EXO_TRY(const auto bytes, connection->read(request_.fingerprint, begin, end - begin));
    const auto expected = proof_->expected(chunk.first_piece, chunk.pieces);
    if (!expected) return ended(expected.error());
    for (uint64_t i = 0; i < chunk.pieces; ++i) {
      const ByteRange range = piece_range(chunk.first_piece + i, total_bytes_);
      const auto piece = std::span(bytes).subspan(range.begin - begin, range.size());
      if (net::sha256(piece) == (*expected)[i]) continue;
      return fail(ErrorCode::kCorrupt,
                  "{} sent other weights than those of {} (bytes {} to {}): it is not asked any more",
                  name_of(source), request_.name, range.begin, range.end - 1);
    }
    if (Status stored = store(chunk, bytes, *expected); !stored) return ended(stored.error());
    return {};
  }

  Status ended(const Error& why) {
    queue_.end(why);
    return std::unexpected(why);
  }

  Status store(const Chunk& chunk, std::span<const std::byte> bytes, std::span<const net::Digest> hashes) {
    EXO_CHECK_OK(file_->write(piece_range(chunk.first_piece, total_bytes_).begin, bytes));
    for (uint64_t i = 0; i < chunk.pieces; ++i) EXO_CHECK_OK(file_->note_checked(chunk.first_piece + i, hashes[i]));
    const uint64_t before = uncommitted_.fetch_add(bytes.size());
    if (before / kCommitBytes != (before + bytes.size()) / kCommitBytes) EXO_CHECK_OK(file_->commit());
    done_bytes_ += bytes.size();
    report(false);
    return {};
  }

  void report(bool always) {
    const std::lock_guard lock(report_mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (!always && now - reported_at_ < kProgressPause) return;
    reported_at_ = now;
    report_({done_bytes_, wanted_bytes_});
  }

  net::FileConnector& connector_;
  const fs::path folder_;
  const std::shared_ptr<SharedFile> shared_;
  const FetchRequest request_;
  const std::function<void(FetchProgress)> report_;
  const std::function<void(Done)> finish_;
  std::shared_ptr<PartialFile> file_;
  uint64_t total_bytes_ = 0, wanted_bytes_ = 0;
  std::atomic<uint64_t> done_bytes_ = 0, uncommitted_ = 0;
  std::atomic<size_t> next_source_ = 0;
  ChunkQueue queue_;
  std::atomic<bool> cancelled_ = false;

  std::mutex mutex_;  // guards what follows
  std::shared_ptr<ContentProof> proof_;
  std::set<net::FileConnection*> connections_;

  std::mutex report_mutex_;
  std::chrono::steady_clock::time_point reported_at_;
  std::thread leader_;
};

struct ShardFetcher::Impl {
  net::Clock& clock;
  net::FileConnector& connector;
  fs::path folder;
  std::map<std::string, std::shared_ptr<SharedFile>> files;  // by fingerprint
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
  auto& shared = impl_->files[request.fingerprint];
  if (!shared) shared = std::make_shared<SharedFile>();
  impl_->jobs.emplace(id, std::make_unique<Job>(impl_->connector, impl_->folder, shared, std::move(request),
                                                std::move(report), std::move(finish)));
  return id;
}

void ShardFetcher::cancel(FetchId fetch) { impl_->jobs.erase(fetch); }

}  // namespace exo::store
