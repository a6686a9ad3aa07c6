#pragma once
// Safetensors files as validated views. After open() succeeded the tensors lie inside the file, do not overlap,
// leave no gap, and their sizes are what shape and number format say.
// Format: https://github.com/huggingface/safetensors, section "Format"

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace exo::formats {

enum class SafetensorsType {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI16,
  kU16,
  kF16,
  kBF16,
  kI32,
  kU32,
  kF32,
  kI64,
  kU64,
  kF64,
};

std::string_view to_string(SafetensorsType type);  // as files write it: "F8_E4M3"
int64_t bytes_of(SafetensorsType type);            // of one element

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::kF32;
  std::vector<int64_t> shape;  // shape.back() is the fastest; empty: one element; an extent may be 0
  std::span<const std::byte> data;

  int64_t elements() const;  // fits: it was checked
};

class MappedFile;

class SafetensorsFile {
 public:
  // Maps the file read-only.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);
  // Parses bytes that the caller keeps alive.
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes);

  // By name, in order.
  const std::map<std::string, SafetensorsTensor, std::less<>>& tensors() const { return tensors_; }
  const SafetensorsTensor* find(std::string_view name) const;
  // The texts of "__metadata__": {"format": "pt"}.
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
  uint64_t file_bytes() const { return file_bytes_; }

 private:
  std::map<std::string, SafetensorsTensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::shared_ptr<const MappedFile> mapping_;
  uint64_t file_bytes_ = 0;
};

}  // namespace exo::formats
