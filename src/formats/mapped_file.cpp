#include "formats/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace exo::formats {
namespace {

Error system_error(const std::filesystem::path& path, const char* what) {
  const int code = errno;
  const auto kind = code == ENOENT || code == ENOTDIR                    ? ErrorCode::kNotFound
                    : code == EACCES || code == EPERM                    ? ErrorCode::kPermissionDenied
                    : code == ENOMEM || code == EMFILE || code == ENFILE ? ErrorCode::kResourceExhausted
                                                                         : ErrorCode::kUnavailable;
  return Error{kind, fmt::format("{}: cannot {}: {}", path.string(), what, std::strerror(code))};
}

struct PageRange {
  std::byte* begin;
  size_t size;
};

PageRange whole_pages(std::span<const std::byte> bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(bytes.data()) & ~(page - 1);
  const auto end = reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size();
  return {reinterpret_cast<std::byte*>(begin), end - begin};
}

}  // namespace

Result<std::shared_ptr<const MappedFile>> MappedFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return std::unexpected(system_error(path, "open"));
  struct stat status {};
  if (::fstat(fd, &status) != 0) {
    auto error = system_error(path, "stat");
    ::close(fd);
    return std::unexpected(std::move(error));
  }
  if (!S_ISREG(status.st_mode)) {
    ::close(fd);
    return fail(ErrorCode::kInvalidArgument, "{} is not a regular file", path.string());
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* data = nullptr;
  if (size > 0) {
    data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      auto error = system_error(path, "map");
      ::close(fd);
      return std::unexpected(std::move(error));
    }
#ifdef MADV_HUGEPAGE
    // Where the system keeps files in large pages, fewer addresses have to be looked up while weights are read.
    ::madvise(data, size, MADV_HUGEPAGE);
#endif
  }
  ::close(fd);
  return std::shared_ptr<const MappedFile>(new MappedFile(static_cast<const std::byte*>(data), size));
}

MappedFile::~MappedFile() {
  if (size_ > 0) ::munmap(const_cast<std::byte*>(data_), size_);
}

void prefetch(std::span<const std::byte> mapped) {
  if (mapped.empty()) return;
  const auto pages = whole_pages(mapped);
  ::madvise(pages.begin, pages.size, MADV_WILLNEED);
}

void fault_in(std::span<const std::byte> mapped) {
  if (mapped.empty()) return;
#ifdef MADV_POPULATE_READ
  const auto pages = whole_pages(mapped);
  if (::madvise(pages.begin, pages.size, MADV_POPULATE_READ) == 0) return;
#endif
  constexpr size_t kSmallestPage = 4096;
  const volatile std::byte* bytes = mapped.data();
  for (size_t i = 0; i < mapped.size(); i += kSmallestPage) (void)bytes[i];
}

}  // namespace exo::formats
