#include "store/piece_check.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "store/work_threads.h"

namespace exo::store {

namespace {

constexpr unsigned kMostThreads = 4;  // about as much as a fast disk gives

}  // namespace

Result<std::vector<uint64_t>> differing_pieces(const std::vector<uint64_t>& pieces, uint64_t total_bytes,
                                               const OwnHash& own, ContentProof& proof,
                                               const CheckProgress& progress) {
  std::atomic<size_t> next = 0;
  std::mutex mutex;  // guards what follows
  std::vector<uint64_t> differing;
  std::optional<Error> failed;
  const auto work = [&] {
    for (size_t i = next++; i < pieces.size(); i = next++) {
      const uint64_t piece = pieces[i];
      const auto expected = proof.expected(piece, 1);
      const auto actual = expected ? own(piece) : Result<net::Digest>(net::Digest{});
      const std::lock_guard lock(mutex);
      if (failed) return;
      if (!expected) failed = expected.error();
      if (expected && (!actual || *actual != expected->front())) differing.push_back(piece);
      if (!failed && progress && !progress(piece_range(piece, total_bytes).size()))
        failed = Error{ErrorCode::kCancelled, "cancelled"};
      if (failed) return;
    }
  };
  const auto count =
      std::min<size_t>({kMostThreads, std::max(1u, std::thread::hardware_concurrency()), pieces.size()});
  const auto end = [&](const Error& why) {
    const std::lock_guard lock(mutex);
    failed = why;
  };
  WorkThreads threads;
  for (size_t i = 1; i < count; ++i) threads.start(work, end);
  work();
  threads.join();
  if (failed) return std::unexpected(*failed);
  std::sort(differing.begin(), differing.end());
  return differing;
}

}  // namespace exo::store
