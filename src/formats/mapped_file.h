#pragma once
// A file mapped read-only, and the hints that go with it.

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "base/result.h"

namespace exo::formats {

// Bytes stay valid while the object lives, even when the file is renamed or deleted. The file may be sparse (a
// partial download): holes read as zeros. Whoever truncates a mapped file makes its readers fault: downloads
// therefore grow files to their full size first and never shrink them.
class MappedFile {
 public:
  // kNotFound when there is no such file, kInvalidArgument when it is not a regular file.
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_;
  size_t size_;
};

// Asks the system to start reading these mapped bytes from the disk; returns at once.
void prefetch(std::span<const std::byte> mapped);
// Reads the pages in now, so that the first use does not wait for the disk.
void fault_in(std::span<const std::byte> mapped);

}  // namespace exo::formats
