#pragma once
// Manifests of this device's own files, kept on the disk so that each file is hashed once.

#include <filesystem>
#include <string>

#include "base/result.h"
#include "store/content_manifest.h"

namespace exo::store {

// FOLDER/FINGERPRINT.hashes: the key, a line end, the manifest's bytes and their SHA-256. Any thread; one writer.
class ManifestCache {
 public:
  explicit ManifestCache(std::filesystem::path folder) : folder_(std::move(folder)) {}
  // `key` (without line ends) stands for everything that the content depends on: another one is kNotFound.
  Result<ContentManifest> load(const std::string& fingerprint, const std::string& key, uint64_t total_bytes) const;
  Status store(const std::string& fingerprint, const std::string& key, const ContentManifest& manifest) const;

 private:
  const std::filesystem::path folder_;
};

}  // namespace exo::store
