#include "store/file_stamp.h"

#include <sys/stat.h>

#include <algorithm>
#include <system_error>
#include <vector>

#include "base/format.h"
#include "net/crypto.h"

namespace exo::store {

namespace fs = std::filesystem;

namespace {

#ifdef __APPLE__
const timespec& modified(const struct stat& info) { return info.st_mtimespec; }
const timespec& changed(const struct stat& info) { return info.st_ctimespec; }
#else
const timespec& modified(const struct stat& info) { return info.st_mtim; }
const timespec& changed(const struct stat& info) { return info.st_ctim; }
#endif

std::string line_of(const struct stat& info) {
  const timespec m = modified(info), c = changed(info);
  return fmt::format("{} {}.{} {}.{} {} {}\n", info.st_size, m.tv_sec, m.tv_nsec, c.tv_sec, c.tv_nsec, info.st_ino,
                     info.st_dev);
}

std::string digest_of(const std::string& text) {
  return net::to_hex(net::sha256(std::as_bytes(std::span(text.data(), text.size()))));
}

}  // namespace

std::string stamp_of(std::span<const fs::path> files) {
  std::string text;
  for (const fs::path& file : files) {
    struct stat info {};
    const bool there = ::stat(file.c_str(), &info) == 0;
    text += file.string() + "\n" + (there ? line_of(info) : "missing\n");
  }
  return digest_of(text);
}

std::string stamp_of_folder(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.is_regular_file(error)) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return stamp_of(files);
}

std::string stamp_of_open(std::span<const int> files) {
  std::string text;
  for (const int file : files) {
    struct stat info {};
    text += ::fstat(file, &info) == 0 ? line_of(info) : "missing\n";
  }
  return digest_of(text);
}

}  // namespace exo::store
