#include "store/partial_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "net/byte_fields.h"
#include "net/crypto.h"
#include "store/fingerprint.h"

namespace exo::store {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kNoteTitle = "exo-ranges 1\n";
constexpr uintmax_t kMaxNoteBytes = 64 << 20;

std::vector<fs::path> shard_paths(const fs::path& folder, const std::string& fingerprint, size_t parts) {
  if (parts == 1) return {folder / (fingerprint + ".gguf")};
  return part_paths(folder / fmt::format("{}-00001-of-{:05}.gguf", fingerprint, parts));
}

Error disk_error(std::string_view what, const fs::path& path) {
  const int number = errno;
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  return {full ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
          full ? fmt::format("the disk of {} is full", path.parent_path().string())
               : fmt::format("{} {}: {}", what, path.string(), std::strerror(number))};
}

struct Note {
  std::string name;
  net::FileLayout layout;
  RangeSet present;
};

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// Title, name, one line per part, an empty line, one line per range, an empty line, SHA-256 of all before.
std::string format_note(const Note& note) {
  std::string text(kNoteTitle);
  text += note.name + "\n" + net::format_layout(note.layout) + "\n";
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
  EXO_TRY(const std::string_view layout, take_until(text, "\n\n"));
  EXO_TRY(note.layout, net::parse_layout(std::string(layout) + "\n"));
  if (!text.empty()) text.remove_suffix(1);  // the empty line
  EXO_TRY(note.present, parse_ranges(text, note.layout.total_bytes()));
  return note;
}

Result<Note> read_note(const fs::path& path) {
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", path.string(), error.message());
  if (bytes > kMaxNoteBytes) return fail(ErrorCode::kCorrupt, "{}: too large", path.string());
  std::ifstream in(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  auto note = parse_note(text);
  if (!note) return std::unexpected(std::move(note).error().with_context(path.string()));
  return note;
}

Status write_all(int file, std::span<const std::byte> bytes, uint64_t offset, const fs::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return std::unexpected(disk_error("writing", path));
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  return {};
}

Status replace_file(const fs::path& path, std::string_view text) {
  const fs::path temporary = path.string() + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return std::unexpected(disk_error("writing", temporary));
  Status status = write_all(file, as_bytes(text), 0, temporary);
  if (status && ::fsync(file) != 0) status = std::unexpected(disk_error("writing", temporary));
  ::close(file);
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = std::unexpected(disk_error("writing", path));
  }
  if (!status) {
    ::unlink(temporary.c_str());
    return status;
  }
  if (const int folder = ::open(path.parent_path().c_str(), O_RDONLY | O_CLOEXEC); folder >= 0) {
    ::fsync(folder);
    ::close(folder);
  }
  return {};
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
}

fs::path PartialFile::note_path() const { return folder_ / (fingerprint_ + ".ranges"); }

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
  std::shared_ptr<PartialFile> file(new PartialFile(folder, fingerprint, net::printable(name, 200), layout));
  EXO_CHECK_OK(file->open_files());
  EXO_CHECK_OK(file->commit());
  return file;
}

void PartialFile::remove(const fs::path& folder, const std::string& fingerprint) {
  std::error_code ignored;
  fs::remove(folder / (fingerprint + ".ranges"), ignored);
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

Status PartialFile::commit() {
  const std::lock_guard committing(commit_mutex_);
  Note note{name_, layout_, present()};  // before the sync: only what is surely on the disk
  for (size_t i = 0; i < files_.size(); ++i) {
    if (::fsync(files_[i]) != 0) return std::unexpected(disk_error("writing", paths_[i]));
  }
  return replace_file(note_path(), format_note(note));
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
