#include "store/partial_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <iterator>
#include <system_error>

#include "base/log.h"
#include "base/printable.h"
#include "net/byte_fields.h"
#include "net/crypto.h"
#include "store/content_manifest.h"
#include "store/file_stamp.h"
#include "store/fingerprint.h"
#include "store/whole_file.h"

namespace exo::store {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kNoteTitle = "exo-ranges 2\n";
constexpr uintmax_t kMaxNoteBytes = 64 << 20;

std::vector<fs::path> shard_paths(const fs::path& folder, const std::string& fingerprint, size_t parts) {
  if (parts == 1) return {folder / (fingerprint + ".gguf")};
  return part_paths(folder / fmt::format("{}-00001-of-{:05}.gguf", fingerprint, parts));
}

struct Note {
  std::string name;
  net::FileLayout layout;
  std::string stamp;  // of the files when the note was written
  RangeSet present;
};

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Title, name, stamp, one line per part, an empty line, one line per range, an empty line, SHA-256 of all before.
std::string format_note(const Note& note) {
  std::string text(kNoteTitle);
  text += note.name + "\n" + note.stamp + "\n" + net::format_layout(note.layout) + "\n";
  for (const ByteRange& r : note.present.ranges())
    fmt::format_to(std::back_inserter(text), "{} {}\n", r.begin, r.end);
  text += "\n";
  return text + net::to_hex(net::sha256(as_bytes(text))) + "\n";
}

Result<std::string_view> take_until(std::string_view& text, std::string_view end) {
  const size_t at = text.find(end);
  if (at == std::string_view::npos) return fail(ErrorCode::kCorrupt, "cut short");
  const std::string_view taken = text.substr(0, at);
  text.remove_prefix(at + end.size());
  return taken;
}

Result<RangeSet> parse_ranges(std::string_view text, uint64_t total) {
  RangeSet ranges;
  while (!text.empty()) {
    EXO_TRY(const std::string_view line, take_until(text, "\n"));
    ByteRange range;
    const char* end = line.data() + line.size();
    const auto begin_end = std::from_chars(line.data(), end, range.begin);
    if (begin_end.ec != std::errc() || begin_end.ptr == end) return fail(ErrorCode::kCorrupt, "malformed");
    const auto end_end = std::from_chars(begin_end.ptr + 1, end, range.end);
    if (end_end.ec != std::errc() || end_end.ptr != end || range.begin >= range.end || range.end > total) {
      return fail(ErrorCode::kCorrupt, "malformed");
    }
    ranges.add(range);
  }
  return ranges;
}

Result<Note> parse_note(std::string_view text) {
  constexpr size_t kHashBytes = 65;
  if (!text.starts_with(kNoteTitle) || text.size() < kNoteTitle.size() + kHashBytes) {
    return fail(ErrorCode::kCorrupt, "not a note of ranges");
  }
  const std::string_view hash = text.substr(text.size() - kHashBytes, 64);
  text.remove_suffix(kHashBytes);
  if (net::to_hex(net::sha256(as_bytes(text))) != hash) return fail(ErrorCode::kCorrupt, "damaged");
  text.remove_prefix(kNoteTitle.size());
  Note note;
  EXO_TRY(note.name, take_until(text, "\n"));
  EXO_TRY(note.stamp, take_until(text, "\n"));
  EXO_TRY(const std::string_view layout, take_until(text, "\n\n"));
  EXO_TRY(note.layout, net::parse_layout(std::string(layout) + "\n"));
  if (!text.empty()) text.remove_suffix(1);  // the empty line
  EXO_TRY(note.present, parse_ranges(text, note.layout.total_bytes()));
  return note;
}

Result<Note> read_note(const fs::path& path) {
  EXO_TRY(const auto bytes, read_whole(path, kMaxNoteBytes));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  auto note = parse_note(text);
  if (!note) return std::unexpected(std::move(note).error().with_context(path.string()));
  return note;
}

}  // namespace

PartialFile::PartialFile(fs::path folder, std::string fingerprint, std::string name, net::FileLayout layout)
    : folder_(std::move(folder)),
      fingerprint_(std::move(fingerprint)),
      name_(std::move(name)),
      layout_(std::move(layout)) {
  paths_ = shard_paths(folder_, fingerprint_, layout_.parts.size());
}

PartialFile::~PartialFile() {
  for (int file : files_) ::close(file);
  if (hashes_ >= 0) ::close(hashes_);
}

fs::path PartialFile::note_path() const { return folder_ / (fingerprint_ + ".ranges"); }
fs::path PartialFile::hashes_path() const { return folder_ / (fingerprint_ + ".pieces"); }
fs::path PartialFile::manifest_path() const { return folder_ / (fingerprint_ + ".manifest"); }

Status PartialFile::open_files() {
  for (size_t i = 0; i < paths_.size(); ++i) {
    const int file = ::open(paths_[i].c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return std::unexpected(disk_error("opening", paths_[i]));
    files_.push_back(file);
    // Full size from the start: whoever maps the file never sees it grow or shrink.
    std::error_code error;
    if (fs::file_size(paths_[i], error) != layout_.parts[i].bytes &&
        ::ftruncate(file, static_cast<off_t>(layout_.parts[i].bytes)) != 0) {
      return std::unexpected(disk_error("making", paths_[i]));
    }
  }
  hashes_ = ::open(hashes_path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (hashes_ < 0) return std::unexpected(disk_error("opening", hashes_path()));
  return {};
}

Result<std::shared_ptr<PartialFile>> PartialFile::open(const fs::path& folder, const std::string& fingerprint) {
  if (!is_fingerprint(fingerprint)) return fail(ErrorCode::kInvalidArgument, "not a fingerprint");
  EXO_TRY(auto note, read_note(folder / (fingerprint + ".ranges")));
  std::shared_ptr<PartialFile> file(new PartialFile(folder, fingerprint, note.name, note.layout));
  for (size_t i = 0; i < file->paths_.size(); ++i) {
    std::error_code error;
    if (fs::file_size(file->paths_[i], error) != note.layout.parts[i].bytes || error) {
      return fail(ErrorCode::kCorrupt, "{} is not as its note says", file->paths_[i].string());
    }
  }
  EXO_CHECK_OK(file->open_files());
  file->present_ = std::move(note.present);
  file->hashes_hold_ = note.stamp == stamp_of_open(file->files_);
  return file;
}

Result<std::shared_ptr<PartialFile>> PartialFile::create(const fs::path& folder, const std::string& fingerprint,
                                                         const std::string& name, const net::FileLayout& layout) {
  if (!is_fingerprint(fingerprint)) return fail(ErrorCode::kInvalidArgument, "not a fingerprint");
  if (auto existing = open(folder, fingerprint); existing && (*existing)->layout() == layout) return existing;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kUnavailable, "{}: {}", folder.string(), error.message());
  remove(folder, fingerprint);
  std::shared_ptr<PartialFile> file(new PartialFile(folder, fingerprint, printable(name, 200), layout));
  EXO_CHECK_OK(file->open_files());
  file->forget_changed();
  EXO_CHECK_OK(file->commit());
  return file;
}

void PartialFile::remove(const fs::path& folder, const std::string& fingerprint) {
  std::error_code ignored;
  for (const char* kind : {".ranges", ".pieces", ".manifest"}) fs::remove(folder / (fingerprint + kind), ignored);
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(fingerprint) && name.ends_with(".gguf")) fs::remove(entry.path(), ignored);
  }
}

Status PartialFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  const ByteRange range{offset, offset + bytes.size()};
  const uint64_t total = layout_.total_bytes();
  if (bytes.size() > total || offset > total - bytes.size()) {
    return fail(ErrorCode::kInvalidArgument, "bytes beyond the file");
  }
  uint64_t begin = 0;
  for (size_t part = 0; !bytes.empty(); begin += layout_.parts[part++].bytes) {
    const uint64_t end = begin + layout_.parts[part].bytes;
    if (offset >= end) continue;
    const size_t n = std::min<uint64_t>(bytes.size(), end - offset);
    EXO_CHECK_OK(write_all(files_[part], bytes.first(n), offset - begin, paths_[part]));
    bytes = bytes.subspan(n);
    offset += n;
  }
  const std::lock_guard lock(mutex_);
  present_.add(range);
  return {};
}

void PartialFile::drop(ByteRange range) {
  const std::lock_guard lock(mutex_);
  present_ = present_.without(RangeSet(std::array{range}));
}

Status PartialFile::commit() {
  const std::lock_guard committing(commit_mutex_);
  Note note{name_, layout_, "", present()};  // before the sync: only what is surely on the disk
  if (::fsync(hashes_) != 0) return std::unexpected(disk_error("writing", hashes_path()));
  for (size_t i = 0; i < files_.size(); ++i) {
    if (::fsync(files_[i]) != 0) return std::unexpected(disk_error("writing", paths_[i]));
  }
  note.stamp = stamp_of_open(files_);
  return replace_whole(note_path(), as_bytes(format_note(note)));
}

// ---- hashes

void PartialFile::forget_changed() {
  if (!hashes_hold_ && ::ftruncate(hashes_, 0) != 0)
    log_warning("store", "{}", disk_error("emptying", hashes_path()).message);
  hashes_hold_ = true;
}

std::optional<net::Digest> PartialFile::checked(uint64_t piece) const {
  net::Digest hash{};
  if (!hashes_hold_ || ::pread(hashes_, hash.data(), hash.size(), static_cast<off_t>(piece * hash.size())) !=
                           static_cast<ssize_t>(hash.size())) {
    return std::nullopt;
  }
  return hash == net::Digest{} ? std::nullopt : std::optional(hash);
}

Status PartialFile::note_checked(uint64_t piece, const net::Digest& hash) {
  return write_all(hashes_, std::as_bytes(std::span(hash)), piece * hash.size(), hashes_path());
}

Status PartialFile::keep_manifest(std::span<const std::byte> bytes) {
  return replace_whole(manifest_path(), bytes);
}

Result<std::shared_ptr<const std::vector<std::byte>>> PartialFile::manifest() const {
  EXO_TRY(auto bytes, read_whole(manifest_path(), ContentManifest::byte_size(layout_.total_bytes())));
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

RangeSet PartialFile::present() const {
  const std::lock_guard lock(mutex_);
  return present_;
}

RangeSet PartialFile::header_ranges() const {
  RangeSet ranges;
  for (size_t i = 0; i < layout_.parts.size(); ++i) {
    const uint64_t begin = layout_.part_begin(i);
    ranges.add({begin, begin + layout_.parts[i].header_bytes});
  }
  return ranges;
}

Status PartialFile::verify_header() const {
  EXO_TRY(const std::string actual, fingerprint_of(*this, layout_));
  if (actual != fingerprint_)
    return fail(ErrorCode::kCorrupt, "the model's header is not the one that was asked for");
  return {};
}

uint64_t PartialFile::free_disk_bytes() const {
  struct statvfs info {};
  if (::statvfs(folder_.c_str(), &info) != 0) return UINT64_MAX;
  return uint64_t(info.f_bavail) * info.f_frsize;
}

bool PartialFile::has(uint64_t offset, uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  return offset + bytes >= offset && present_.contains({offset, offset + bytes});
}

Status PartialFile::read(uint64_t offset, std::span<std::byte> out) const {
  if (!has(offset, out.size())) return fail(ErrorCode::kNotFound, "these bytes are not here");
  uint64_t begin = 0;
  for (size_t part = 0; !out.empty(); begin += layout_.parts[part++].bytes) {
    const uint64_t end = begin + layout_.parts[part].bytes;
    if (offset >= end) continue;
    const size_t n = std::min<uint64_t>(out.size(), end - offset);
    for (size_t done = 0; done < n;) {
      const ssize_t got =
          ::pread(files_[part], out.data() + done, n - done, static_cast<off_t>(offset - begin + done));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::unexpected(disk_error("reading", paths_[part]));
      done += static_cast<size_t>(got);
    }
    out = out.subspan(n);
    offset += n;
  }
  return {};
}

}  // namespace exo::store
