#include "net/file_transfer.h"

#include <charconv>
#include <numeric>

namespace exo::net {

uint64_t FileLayout::total_bytes() const { return part_begin(parts.size()); }

uint64_t FileLayout::part_begin(size_t part) const {
  return std::accumulate(parts.begin(), parts.begin() + static_cast<ptrdiff_t>(part), uint64_t{0},
                         [](uint64_t sum, const Part& p) { return sum + p.bytes; });
}

Result<std::vector<Digest>> FileSource::piece_hashes(uint64_t, uint64_t) const {
  return fail(ErrorCode::kNotFound, "the whole model is not here");
}

Result<std::shared_ptr<const std::vector<std::byte>>> FileSource::manifest() const {
  return fail(ErrorCode::kNotFound, "the hashes of this model are not known here");
}

std::string format_layout(const FileLayout& layout) {
  std::string text;
  for (const auto& part : layout.parts)
    fmt::format_to(std::back_inserter(text), "{} {}\n", part.bytes, part.header_bytes);
  if (!layout.sample.empty()) text += "sample " + layout.sample + "\n";
  return text;
}

Result<FileLayout> parse_layout(std::string_view text) {
  constexpr uint64_t kMaxTotalBytes = uint64_t{1} << 62, kMaxHeaderBytes = 512ull << 20;
  FileLayout layout;
  uint64_t total = 0;
  const auto number = [&text](char end) -> Result<uint64_t> {
    uint64_t value = 0;
    const auto [next, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || next == text.data() + text.size() || *next != end) {
      return fail(ErrorCode::kCorrupt, "a malformed file layout");
    }
    text.remove_prefix(static_cast<size_t>(next - text.data()) + 1);
    return value;
  };
  constexpr std::string_view kSample = "sample ";
  while (!text.empty()) {
    if (text.starts_with(kSample) && text.ends_with('\n')) {
      layout.sample = text.substr(kSample.size(), text.size() - kSample.size() - 1);
      if (!digest_from_hex(layout.sample)) return fail(ErrorCode::kCorrupt, "a malformed file layout");
      break;
    }
    FileLayout::Part part;
    EXO_TRY(part.bytes, number(' '));
    EXO_TRY(part.header_bytes, number('\n'));
    if (part.header_bytes == 0 || part.header_bytes > std::min(part.bytes, kMaxHeaderBytes) ||
        part.bytes > kMaxTotalBytes - total || layout.parts.size() == kMaxFileParts) {
      return fail(ErrorCode::kCorrupt, "a file layout over its limits");
    }
    total += part.bytes;
    layout.parts.push_back(part);
  }
  if (layout.parts.empty()) return fail(ErrorCode::kCorrupt, "an empty file layout");
  return layout;
}

}  // namespace exo::net
