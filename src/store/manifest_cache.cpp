#include "store/manifest_cache.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <system_error>

#include "store/whole_file.h"

namespace exo::store {

namespace fs = std::filesystem;

Result<ContentManifest> ManifestCache::load(const std::string& fingerprint, const std::string& key,
                                            uint64_t total_bytes) const {
  const uint64_t most = key.size() + 1 + ContentManifest::byte_size(total_bytes) + 32;
  EXO_TRY(auto bytes, read_whole(folder_ / (fingerprint + ".hashes"), most));
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (!std::string_view(text, bytes.size()).starts_with(key + "\n"))
    return fail(ErrorCode::kNotFound, "the file has changed since it was hashed");
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(key.size() + 1));
  if (bytes.size() < 32) return fail(ErrorCode::kCorrupt, "cut short");
  const std::vector<std::byte> sum(bytes.end() - 32, bytes.end());
  bytes.resize(bytes.size() - 32);
  const net::Digest actual = net::sha256(bytes);
  if (!std::ranges::equal(std::as_bytes(std::span(actual)), sum)) return fail(ErrorCode::kCorrupt, "damaged");
  return ContentManifest::parse(std::move(bytes), total_bytes);
}

Status ManifestCache::store(const std::string& fingerprint, const std::string& key,
                            const ContentManifest& manifest) const {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return fail(ErrorCode::kUnavailable, "{}: {}", folder_.string(), error.message());
  const std::string line = key + "\n";
  const auto start = std::as_bytes(std::span(line.data(), line.size()));
  std::vector<std::byte> bytes(start.begin(), start.end());
  bytes.insert(bytes.end(), manifest.bytes().begin(), manifest.bytes().end());
  const net::Digest sum = net::sha256(manifest.bytes());
  const auto end = std::as_bytes(std::span(sum));
  bytes.insert(bytes.end(), end.begin(), end.end());
  return replace_whole(folder_ / (fingerprint + ".hashes"), bytes);
}

}  // namespace exo::store
