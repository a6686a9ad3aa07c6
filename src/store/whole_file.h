#pragma once
// Small files that are read whole and replaced whole.

#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"

namespace exo::store {

// What errno says of an operation on a file: kResourceExhausted when the disk is full, else kUnavailable.
Error disk_error(std::string_view what, const std::filesystem::path& path);
// kNotFound: there is none; kCorrupt: it is larger.
Result<std::vector<std::byte>> read_whole(const std::filesystem::path& path, uint64_t most_bytes);
// After a crash the old content is there or the new one.
Status replace_whole(const std::filesystem::path& path, std::span<const std::byte> bytes);
// At an offset of an open file; `path` is for people.
Status write_all(int file, std::span<const std::byte> bytes, uint64_t offset, const std::filesystem::path& path);

}  // namespace exo::store
