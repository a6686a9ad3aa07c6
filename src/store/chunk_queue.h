#pragma once
// What is still to be fetched, in runs of whole pieces, and who could not give which of it. Any thread.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "net/clock.h"

namespace exo::store {

struct Chunk {
  uint64_t first_piece = 0, pieces = 0;  // at most net::kMaxChunkBytes
  std::set<NodeId> lacking;              // sources that do not have it
};

class ChunkQueue {
 public:
  void fill(const std::vector<uint64_t>& pieces);  // in order
  // Waits for a chunk that `source` may have; nullopt when there will be none.
  std::optional<Chunk> take(const NodeId& source);
  void done();  // with a chunk that was taken
  void give_back(Chunk chunk, const Error& why);
  // The source lacks the chunk, or some of its pieces: it goes back in single ones.
  void lacks(Chunk chunk, const NodeId& source, const Error& why);
  void note(const Error& error);  // for outcome()
  void end(Error why);            // everything is over
  bool over() const;
  bool pause(net::Duration time);  // false: it is over meanwhile
  // After the last done(): all that was asked for is here, or why not.
  Status outcome() const;
  size_t chunks() const;

 private:
  // That a source lied says more than that others could not be reached.
  void remember(const Error& error) {
    if (last_.code != ErrorCode::kCorrupt) last_ = error;
  }
  bool is_over() const { return ended_ || (queue_.empty() && in_flight_ == 0); }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Chunk> queue_;
  size_t in_flight_ = 0;
  std::optional<Error> ended_;
  Error last_{ErrorCode::kUnavailable, "no peer has it"};
};

}  // namespace exo::store
