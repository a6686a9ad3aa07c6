#pragma once
// What shows that files on the disk are still those that were looked at: path, size, times and inode of each.

#include <filesystem>
#include <span>
#include <string>

namespace exo::store {

// 64 hex digits; links are followed. Files that are missing count as such.
std::string stamp_of(std::span<const std::filesystem::path> files);
// Of all files directly in the folder.
std::string stamp_of_folder(const std::filesystem::path& folder);
// Of open files, without their paths: survives a move within the disk.
std::string stamp_of_open(std::span<const int> files);

}  // namespace exo::store
