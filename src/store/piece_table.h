#pragma once
// What this device knows of the hashes of its own copy of a model: each piece is read and hashed once, when
// somebody asks for it or in the background; with the last one the manifest is there.

#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/result.h"
#include "net/file_transfer.h"
#include "store/content_manifest.h"

namespace exo::store {

// Any thread.
class PieceTable {
 public:
  explicit PieceTable(uint64_t total_bytes);
  // Of pieces [first, first + count); reads through `source` what is not known. kInvalidArgument beyond the end.
  Result<std::vector<net::Digest>> hashes(const net::FileSource& source, uint64_t first, uint64_t count);
  // The first unknown piece from `from` on; nullopt: none.
  std::optional<uint64_t> unknown_from(uint64_t from) const;
  // All hashes, when they are known; else nullptr.
  std::shared_ptr<const ContentManifest> manifest() const;
  void adopt(ContentManifest manifest);  // of the same number of bytes

 private:
  const uint64_t total_bytes_;
  mutable std::mutex mutex_;                       // guards what follows
  std::vector<std::optional<net::Digest>> known_;  // empty once manifest_ is there
  uint64_t n_known_ = 0;
  std::shared_ptr<const ContentManifest> manifest_;
};

// `source`, which has the whole model, with the hashes of `table`.
std::shared_ptr<const net::FileSource> with_hashes(std::shared_ptr<const net::FileSource> source,
                                                   std::shared_ptr<PieceTable> table);

}  // namespace exo::store
