#pragma once
// Model files between nodes: byte ranges over HTTP on the encrypted peer port, apart from the links, so that a
// transfer never stands in the way of a step. Addresses are offsets in the concatenation of a model's files.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "net/clock.h"
#include "net/crypto.h"

namespace exo::net {

inline constexpr uint64_t kMaxChunkBytes = 4 << 20;  // per request
// A model's bytes are proven in pieces of this size, counted from the first byte of the first file; the last one
// may be shorter.
inline constexpr uint64_t kPieceBytes = 1 << 20;
inline constexpr uint64_t kMaxPieceHashes =
    16;  // per request: the sender may have to read and hash the pieces first
inline constexpr size_t kMaxFileParts = 1024;

// The files of a model, in order: one, or the parts of a split model.
struct FileLayout {
  struct Part {
    uint64_t bytes = 0;
    uint64_t header_bytes = 0;  // before the part's tensor data
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts;
  // SHA-256 of some of the weights' bytes, 64 hex digits: tells models apart whose headers are the same. Empty:
  // none.
  std::string sample;
  uint64_t total_bytes() const;
  uint64_t part_begin(size_t part) const;  // offset of a part's first byte
  bool operator==(const FileLayout&) const = default;
};

// Text form, one line "bytes header_bytes" per part, then "sample HEX". parse: kCorrupt when malformed, empty, over
// kMaxFileParts, a
// header is larger than its part or 512 MiB, or the sum overflows 2^62.
std::string format_layout(const FileLayout& layout);
Result<FileLayout> parse_layout(std::string_view text);

// A model that this node can serve, whole or in part. Any thread.
class FileSource {
 public:
  virtual ~FileSource() = default;
  virtual const FileLayout& layout() const = 0;
  virtual bool has(uint64_t offset, uint64_t bytes) const = 0;
  virtual Status read(uint64_t offset, std::span<std::byte> out) const = 0;  // all of it, or an error
  // SHA-256 of pieces [first, first + count), of models that are here as a whole. kNotFound: of others.
  virtual Result<std::vector<Digest>> piece_hashes(uint64_t first, uint64_t count) const;
  // The hashes of all pieces (store/content_manifest.h describes the bytes). kNotFound: they are not known yet.
  virtual Result<std::shared_ptr<const std::vector<std::byte>>> manifest() const;
};

// Called on the network thread; nullptr: no such model here.
using FileSourceLookup = std::function<std::shared_ptr<const FileSource>(std::string_view fingerprint)>;

// One connection to one peer. Blocks the calling thread; one call at a time. An error leaves the connection
// unusable except kNotFound (the peer lacks the model or the range) and kCorrupt of the content.
class FileConnection {
 public:
  virtual ~FileConnection() = default;
  virtual Result<FileLayout> layout(const std::string& fingerprint) = 0;
  // bytes ≤ kMaxChunkBytes; exactly so many come back, whichever they are: the caller compares their hashes.
  // kDeadlineExceeded: nothing came for kFileIdleDeadline.
  virtual Result<std::vector<std::byte>> read(const std::string& fingerprint, uint64_t offset, uint64_t bytes) = 0;
  // The hashes of the peer's own copy; count ≤ kMaxPieceHashes.
  virtual Result<std::vector<Digest>> piece_hashes(const std::string& fingerprint, uint64_t first,
                                                   uint64_t count) = 0;
  // Part of the peer's manifest; bytes ≤ kMaxChunkBytes.
  virtual Result<std::vector<std::byte>> manifest(const std::string& fingerprint, uint64_t offset,
                                                  uint64_t bytes) = 0;
  virtual void cancel() = 0;  // any thread: the call in progress and all later ones give kCancelled
};

inline constexpr Duration kFileIdleDeadline = std::chrono::seconds(5);

class FileConnector {
 public:
  virtual ~FileConnector() = default;
  // Any thread; returns at once, the connection is made by its first call. kUnavailable: the peer is not linked.
  virtual Result<std::unique_ptr<FileConnection>> connect_files(const NodeId& peer) = 0;
};

}  // namespace exo::net
