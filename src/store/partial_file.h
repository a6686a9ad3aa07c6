#pragma once
// A sparse copy of another node's model: the bytes that this device needs, at the places where they are in the
// original, and a note beside it of which bytes those are. The note is written after the data is on the disk, whole
// or not at all: after a crash or on a full disk it never promises bytes that are not there.

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"

namespace exo::store {

// Any thread.
class PartialFile final : public net::FileSource {
 public:
  // FOLDER/FINGERPRINT.gguf (or …-00001-of-0000N.gguf) and FOLDER/FINGERPRINT.ranges. kNotFound: there is none;
  // kCorrupt: the note is unreadable (create() then starts over).
  static Result<std::shared_ptr<PartialFile>> open(const std::filesystem::path& folder,
                                                   const std::string& fingerprint);
  // Opens what is there if its layout is the same, else starts an empty one. `name` is the model's, for people.
  static Result<std::shared_ptr<PartialFile>> create(const std::filesystem::path& folder,
                                                     const std::string& fingerprint, const std::string& name,
                                                     const net::FileLayout& layout);
  // Deletes file and note. Those who have them open or mapped keep what they have.
  static void remove(const std::filesystem::path& folder, const std::string& fingerprint);
  ~PartialFile() override;

  const std::string& fingerprint() const { return fingerprint_; }
  const std::string& name() const { return name_; }
  std::filesystem::path path() const { return paths_.front(); }  // to open with GgufFile

  // kResourceExhausted: the disk is full; what was there before stays valid.
  Status write(uint64_t offset, std::span<const std::byte> bytes);
  // Makes everything written so far survive a crash.
  Status commit();
  RangeSet present() const;
  RangeSet header_ranges() const;
  // kCorrupt unless the headers are present and give the fingerprint.
  Status verify_header() const;
  uint64_t free_disk_bytes() const;

  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override;
  Status read(uint64_t offset, std::span<std::byte> out) const override;

 private:
  PartialFile(std::filesystem::path folder, std::string fingerprint, std::string name, net::FileLayout layout);
  Status open_files();
  std::filesystem::path note_path() const;

  const std::filesystem::path folder_;
  const std::string fingerprint_;
  std::string name_;
  const net::FileLayout layout_;
  std::vector<std::filesystem::path> paths_;
  std::vector<int> files_;
  mutable std::mutex mutex_;  // guards present_
  std::mutex commit_mutex_;   // one commit at a time
  RangeSet present_;
};

}  // namespace exo::store
