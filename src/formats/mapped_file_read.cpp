// "Mapped" files of systems that cannot map: read whole into memory.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "formats/mapped_file.h"

namespace exo::formats {
namespace {

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

Error system_error(const std::filesystem::path& path, const char* what) {
  const auto kind = errno == ENOENT || errno == ENOTDIR ? ErrorCode::kNotFound
                    : errno == EACCES || errno == EPERM ? ErrorCode::kPermissionDenied
                                                        : ErrorCode::kUnavailable;
  return Error{kind, fmt::format("{}: cannot {}: {}", path.string(), what, std::strerror(errno))};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, Closer> file(std::fopen(path.c_str(), "rb"));
  if (!file) return std::unexpected(system_error(path, "open"));
  if (std::fseek(file.get(), 0, SEEK_END) != 0) {
    return fail(ErrorCode::kInvalidArgument, "{} is not a regular file", path.string());
  }
  const long size = std::ftell(file.get());
  if (size < 0) return fail(ErrorCode::kInvalidArgument, "{} is not a regular file", path.string());
  std::rewind(file.get());
  void* data = size > 0 ? std::aligned_alloc(64, (static_cast<size_t>(size) + 63) / 64 * 64) : nullptr;
  if (size > 0 && data == nullptr) {
    return fail(ErrorCode::kResourceExhausted, "{}: no memory for {} bytes", path.string(), size);
  }
  std::shared_ptr<const MappedFile> whole(
      new MappedFile(static_cast<const std::byte*>(data), static_cast<size_t>(size)));
  if (std::fread(data, 1, static_cast<size_t>(size), file.get()) != static_cast<size_t>(size)) {
    return std::unexpected(system_error(path, "read"));
  }
  return whole;
}

MappedFile::~MappedFile() { std::free(const_cast<std::byte*>(data_)); }

void prefetch(std::span<const std::byte>) {}
void fault_in(std::span<const std::byte>) {}

}  // namespace exo::formats
