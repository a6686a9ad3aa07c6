#include "store/content_manifest.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "net/byte_fields.h"

namespace exo::store {

namespace {

constexpr std::string_view kTitle = "EXOHASH1";

std::vector<std::byte> header_of(uint64_t total_bytes) {
  net::FieldWriter writer;
  writer.text(kTitle);
  writer.integer(total_bytes);
  writer.integer(net::kPieceBytes);
  return writer.take();
}

}  // namespace

uint64_t piece_count(uint64_t total_bytes) {
  return total_bytes / net::kPieceBytes + (total_bytes % net::kPieceBytes != 0 ? 1 : 0);
}

ByteRange piece_range(uint64_t piece, uint64_t total_bytes) {
  const uint64_t begin = piece * net::kPieceBytes;
  return {begin, std::min(begin + net::kPieceBytes, total_bytes)};
}

std::vector<uint64_t> pieces_of(const RangeSet& ranges) {
  std::vector<uint64_t> pieces;
  for (const ByteRange& range : ranges.ranges()) {
    uint64_t piece = range.begin / net::kPieceBytes;
    if (!pieces.empty() && piece == pieces.back()) ++piece;
    for (; piece * net::kPieceBytes < range.end; ++piece) pieces.push_back(piece);
  }
  return pieces;
}

ContentManifest::ContentManifest(std::vector<std::byte> bytes)
    : bytes_(std::move(bytes)), root_(net::to_hex(net::sha256(bytes_))) {}

ContentManifest::ContentManifest(uint64_t total_bytes, std::span<const net::Digest> hashes)
    : bytes_(header_of(total_bytes)) {
  EXO_CHECK(hashes.size() == piece_count(total_bytes));
  const auto list = std::as_bytes(hashes);
  bytes_.insert(bytes_.end(), list.begin(), list.end());
  root_ = net::to_hex(net::sha256(bytes_));
}

Result<ContentManifest> ContentManifest::parse(std::vector<std::byte> bytes, uint64_t total_bytes) {
  if (total_bytes > kMaxContentBytes) return fail(ErrorCode::kCorrupt, "a model of {} bytes", total_bytes);
  const auto header = header_of(total_bytes);
  if (bytes.size() != byte_size(total_bytes) || !std::equal(header.begin(), header.end(), bytes.begin())) {
    return fail(ErrorCode::kCorrupt, "not the list of hashes of {} bytes", total_bytes);
  }
  return ContentManifest(std::move(bytes));
}

net::Digest ContentManifest::hash(uint64_t piece) const {
  net::Digest hash;
  std::memcpy(hash.data(), bytes_.data() + kHeaderBytes + 32 * piece, hash.size());
  return hash;
}

}  // namespace exo::store
