#include "store/chunk_queue.h"

#include <algorithm>

#include "net/file_transfer.h"

namespace exo::store {

void ChunkQueue::fill(const std::vector<uint64_t>& pieces) {
  constexpr uint64_t kMostPieces = net::kMaxChunkBytes / net::kPieceBytes;
  const std::lock_guard lock(mutex_);
  for (const uint64_t piece : pieces) {
    const bool follows = !queue_.empty() && queue_.back().first_piece + queue_.back().pieces == piece;
    if (follows && queue_.back().pieces < kMostPieces) {
      ++queue_.back().pieces;
    } else {
      queue_.push_back({piece, 1, {}});
    }
  }
}

std::optional<Chunk> ChunkQueue::take(const NodeId& source) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (is_over()) return std::nullopt;
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

void ChunkQueue::done() {
  const std::lock_guard lock(mutex_);
  --in_flight_;
  changed_.notify_all();
}

void ChunkQueue::give_back(Chunk chunk, const Error& why) {
  const std::lock_guard lock(mutex_);
  queue_.push_front(std::move(chunk));
  remember(why);
  --in_flight_;
  changed_.notify_all();
}

void ChunkQueue::lacks(Chunk chunk, const NodeId& source, const Error& why) {
  if (chunk.pieces == 1) {
    chunk.lacking.insert(source);
    return give_back(std::move(chunk), why);
  }
  const std::lock_guard lock(mutex_);
  for (uint64_t i = chunk.pieces; i-- > 0;) queue_.push_front({chunk.first_piece + i, 1, chunk.lacking});
  remember(why);
  --in_flight_;
  changed_.notify_all();
}

void ChunkQueue::note(const Error& error) {
  const std::lock_guard lock(mutex_);
  remember(error);
}

void ChunkQueue::end(Error why) {
  const std::lock_guard lock(mutex_);
  if (!ended_) ended_ = std::move(why);
  changed_.notify_all();
}

bool ChunkQueue::over() const {
  const std::lock_guard lock(mutex_);
  return is_over();
}

bool ChunkQueue::pause(net::Duration time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return is_over(); });
  return !is_over();
}

Status ChunkQueue::outcome() const {
  const std::lock_guard lock(mutex_);
  if (ended_) return std::unexpected(*ended_);
  if (queue_.empty()) return {};
  return std::unexpected(last_);
}

size_t ChunkQueue::chunks() const {
  const std::lock_guard lock(mutex_);
  return queue_.size() + in_flight_;
}

}  // namespace exo::store
