#pragma once
// The hashes of all pieces of a model's bytes. Its root, the hash over them, stands for the whole content: who
// knows the root can check any list of hashes, and with the list any piece, whoever sends them.
//
// Bytes, integers little-endian: "EXOHASH1", u64 bytes of the model, u64 bytes of a piece (net::kPieceBytes), then
// the SHA-256 of each piece in order, 32 bytes each. Pieces are counted through the concatenation of the model's
// files, headers included; the last one may be shorter. The root is the SHA-256 of all this.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/crypto.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"

namespace exo::store {

inline constexpr uint64_t kMaxContentBytes = uint64_t{1} << 42;  // 4 TiB: a manifest of 128 MiB

uint64_t piece_count(uint64_t total_bytes);
ByteRange piece_range(uint64_t piece, uint64_t total_bytes);
// The pieces that hold any of these bytes, in order.
std::vector<uint64_t> pieces_of(const RangeSet& ranges);

class ContentManifest {
 public:
  static constexpr uint64_t kHeaderBytes = 24;
  static uint64_t byte_size(uint64_t total_bytes) { return kHeaderBytes + 32 * piece_count(total_bytes); }

  // One hash for each piece of total_bytes.
  ContentManifest(uint64_t total_bytes, std::span<const net::Digest> hashes);
  // Any bytes at all. kCorrupt unless they are a manifest of so many bytes, at most kMaxContentBytes.
  static Result<ContentManifest> parse(std::vector<std::byte> bytes, uint64_t total_bytes);

  uint64_t pieces() const { return (bytes_.size() - kHeaderBytes) / 32; }
  net::Digest hash(uint64_t piece) const;  // piece < pieces()
  const std::string& root() const { return root_; }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  explicit ContentManifest(std::vector<std::byte> bytes);
  std::vector<std::byte> bytes_;
  std::string root_;
};

}  // namespace exo::store
