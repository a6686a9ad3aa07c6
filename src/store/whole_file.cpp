#include "store/whole_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

namespace exo::store {

namespace fs = std::filesystem;

Error disk_error(std::string_view what, const fs::path& path) {
  const int number = errno;
  const bool full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  return {full ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
          full ? fmt::format("the disk of {} is full", path.parent_path().string())
               : fmt::format("{} {}: {}", what, path.string(), std::strerror(number))};
}

Result<std::vector<std::byte>> read_whole(const fs::path& path, uint64_t most_bytes) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return fail(ErrorCode::kNotFound, "{}: {}", path.string(), error.message());
  if (size > most_bytes) return fail(ErrorCode::kCorrupt, "{}: too large", path.string());
  std::vector<std::byte> bytes(size);
  std::ifstream in(path, std::ios::binary);
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size)))
    return fail(ErrorCode::kUnavailable, "reading {}", path.string());
  return bytes;
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

Status replace_whole(const fs::path& path, std::span<const std::byte> bytes) {
  const fs::path temporary = path.string() + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return std::unexpected(disk_error("writing", temporary));
  Status status = write_all(file, bytes, 0, temporary);
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

}  // namespace exo::store
