#include "ring/cache_server.h"

#include <algorithm>

#include "wire/limits.h"

namespace exo::ring {
namespace {

// Of what is asked for.
Result<uint64_t> checked_bytes(const wire::CacheRead& read, const LayerRange& allowed, const CacheLayout& layout) {
  if (read.type != layout.type || read.block_positions != layout.block_positions)
    return fail(ErrorCode::kUnsupported, "the caches are not alike");
  const auto within = [&](const LayerRange& range) {
    return read.layers.begin >= range.begin && read.layers.end <= range.end;
  };
  if (read.layers.empty() || !within(allowed) || !within(layout.layers))
    return fail(ErrorCode::kPermissionDenied, "a cache of layers that were not here, or are none of the reader's");
  for (const BlockId block : read.blocks)
    if (block.value >= static_cast<uint32_t>(layout.n_blocks))
      return fail(ErrorCode::kInvalidArgument, "block {} of {}", block, layout.n_blocks);
  const uint64_t block_bytes = layout.bytes_of(read.layers);
  if (block_bytes > wire::kMaxCachePieceBytes || block_bytes * read.blocks.size() > wire::kMaxCachePieceBytes)
    return fail(ErrorCode::kInvalidArgument, "{} blocks of {} bytes at once", read.blocks.size(), block_bytes);
  return block_bytes * read.blocks.size();
}

}  // namespace

void CacheServer::serve(const NodeId& from, wire::CacheRead read, const LayerRange& allowed,
                        StageExecutor* executor) {
  wire::CachePiece piece{std::move(read.fingerprint), read.epoch, read.nonce, {}, {}};
  const auto layout = executor != nullptr ? executor->cache_layout() : std::nullopt;
  const auto bytes = layout ? checked_bytes(read, allowed, *layout)
                            : fail(ErrorCode::kUnavailable, "there is no cache here that can be carried over");
  const bool busy = bytes && reading_bytes_[from] + *bytes > kMostUnderWay;
  if (!bytes || busy) {
    piece.error = busy ? "too much at once" : bytes.error().message;
    transport_.send(from, std::move(piece));
    return;
  }
  reading_bytes_[from] += *bytes;
  executor->read_cache({read.layers, std::move(read.blocks)},
                       [this, alive = std::weak_ptr<bool>(alive_), from, piece = std::move(piece),
                        asked = *bytes](Result<std::vector<std::byte>> found) mutable {
                         if (alive.expired()) return;
                         reading_bytes_[from] -= asked;
                         if (found) {
                           piece.bytes = std::move(*found);
                         } else {
                           piece.error = std::move(found.error().message);
                         }
                         transport_.send(from, std::move(piece));
                       });
}

}  // namespace exo::ring
