#include "store/header_copy.h"

#include <algorithm>

#include "store/fingerprint.h"

namespace exo::store {

Result<HeaderCopy> HeaderCopy::fetch(net::FileConnection& connection, const std::string& fingerprint) {
  EXO_TRY(net::FileLayout layout, connection.layout(fingerprint));
  HeaderCopy copy(std::move(layout));
  uint64_t total = 0;
  for (const auto& part : copy.layout_.parts) {
    if (part.header_bytes > kMostBytes - total)
      return fail(ErrorCode::kCorrupt, "a header of more than {} MiB", kMostBytes >> 20);
    total += part.header_bytes;
  }
  uint64_t begin = 0;
  for (const auto& part : copy.layout_.parts) {
    std::vector<std::byte>& bytes = copy.parts_.emplace_back();
    while (bytes.size() < part.header_bytes) {
      const uint64_t n = std::min<uint64_t>(net::kMaxChunkBytes, part.header_bytes - bytes.size());
      EXO_TRY(const auto chunk, connection.read(fingerprint, begin + bytes.size(), n));
      bytes.insert(bytes.end(), chunk.begin(), chunk.end());
    }
    begin += part.bytes;
  }
  EXO_TRY(const std::string actual, fingerprint_of(copy, copy.layout_));
  if (actual != fingerprint)
    return fail(ErrorCode::kCorrupt, "the model's header is not the one that was asked for");
  return copy;
}

uint64_t HeaderCopy::total_bytes() const {
  uint64_t total = 0;
  for (const auto& part : parts_) total += part.size();
  return total;
}

std::span<const std::byte> HeaderCopy::find(uint64_t offset, uint64_t bytes) const {
  for (size_t i = 0; i < parts_.size(); ++i) {
    const uint64_t begin = layout_.part_begin(i);
    if (offset < begin || offset - begin > parts_[i].size() || bytes > parts_[i].size() - (offset - begin))
      continue;
    return std::span(parts_[i]).subspan(offset - begin, bytes);
  }
  return {};
}

bool HeaderCopy::has(uint64_t offset, uint64_t bytes) const { return bytes > 0 && !find(offset, bytes).empty(); }

Status HeaderCopy::read(uint64_t offset, std::span<std::byte> out) const {
  const auto found = find(offset, out.size());
  if (found.size() != out.size()) return fail(ErrorCode::kInvalidArgument, "bytes beyond the header");
  std::ranges::copy(found, out.begin());
  return {};
}

}  // namespace exo::store
