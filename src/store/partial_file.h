#pragma once
// A sparse copy of another node's model: the bytes that this device needs, at the places where they are in the
// original, and a note beside it of which bytes those are. The note is written after the data is on the disk, whole
// or not at all: after a crash or on a full disk it never promises bytes that are not there. Beside it are the
// hashes of the pieces that were checked, which hold as long as the files are as the note saw them, and the
// manifest that they were checked against.

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"

namespace exo::store {

// Any thread.
class PartialFile final : public net::FileSource {
 public:
  // FOLDER/FINGERPRINT.gguf (or …-00001-of-0000N.gguf), .ranges, .pieces and .manifest. kNotFound: there is none;
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
  void drop(ByteRange range);  // these bytes are no good
  // Makes everything written so far survive a crash.
  Status commit();

  // Whoever is to write: before the first checked(). Where the files have changed behind the note's back, all that
  // was checked of them is to be checked again.
  void forget_changed();
  // The hash that the piece on the disk had when it was checked; nullopt: nobody has, or the files have changed
  // since.
  std::optional<net::Digest> checked(uint64_t piece) const;
  Status note_checked(uint64_t piece, const net::Digest& hash);
  Status keep_manifest(std::span<const std::byte> bytes);

  RangeSet present() const;
  RangeSet header_ranges() const;
  // kCorrupt unless the headers are present and give the fingerprint.
  Status verify_header() const;
  uint64_t free_disk_bytes() const;

  const net::FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override;
  Status read(uint64_t offset, std::span<std::byte> out) const override;
  Result<std::shared_ptr<const std::vector<std::byte>>> manifest() const override;

 private:
  PartialFile(std::filesystem::path folder, std::string fingerprint, std::string name, net::FileLayout layout);
  Status open_files();
  std::filesystem::path note_path() const;
  std::filesystem::path hashes_path() const;
  std::filesystem::path manifest_path() const;

  const std::filesystem::path folder_;
  const std::string fingerprint_;
  std::string name_;
  const net::FileLayout layout_;
  std::vector<std::filesystem::path> paths_;
  std::vector<int> files_;
  int hashes_ = -1;  // 32 bytes for each piece, zeros: not checked
  bool hashes_hold_ = false;
  mutable std::mutex mutex_;  // guards present_
  std::mutex commit_mutex_;   // one commit at a time
  RangeSet present_;
};

}  // namespace exo::store
