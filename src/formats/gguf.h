#pragma once
// GGUF v2/v3 files as validated views. Every length, offset and type is checked before it is used; after open()
// succeeded, tensors() lie inside the file, are aligned and do not overflow.
// Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/element_type.h"
#include "base/result.h"
#include "formats/tensor_view.h"

namespace exo::formats {

// A metadata value. Integers of every width are widened; arrays are homogeneous (GGUF allows no arrays of arrays
// in any file that models use: they are refused).
using GgufValue =
    std::variant<bool, int64_t, uint64_t, double, std::string, std::vector<bool>, std::vector<int64_t>,
                 std::vector<uint64_t>, std::vector<double>, std::vector<std::string>>;

class GgufMetadata {
 public:
  const GgufValue* find(std::string_view key) const;
  // Typed reads: a missing key is kNotFound, a wrong type kCorrupt; integers convert when the value fits.
  Result<std::string> string(std::string_view key) const;
  Result<int64_t> integer(std::string_view key) const;
  Result<double> number(std::string_view key) const;
  Result<bool> boolean(std::string_view key) const;
  Result<std::vector<std::string>> strings(std::string_view key) const;
  Result<std::vector<int64_t>> integers(std::string_view key) const;
  Result<std::vector<double>> numbers(std::string_view key) const;

  std::map<std::string, GgufValue, std::less<>> values;
};

// Limits on what a hostile header may make us allocate.
struct GgufLimits {
  uint64_t max_header_bytes = 512ull << 20;  // metadata and tensor descriptions together
  uint64_t max_metadata_entries = 1 << 16;
  uint64_t max_tensors = 1 << 20;
};

class GgufFile {
 public:
  // Maps the file read-only. A file cut in several (`-00001-of-00003.gguf`, key split.count) is opened by its first
  // part; tensors() then lists all parts' tensors.
  static Result<GgufFile> open(const std::filesystem::path& path, const GgufLimits& limits = {});
  // Parses bytes that the caller keeps alive (the embedded demo model, tests, fuzzing).
  static Result<GgufFile> parse(std::span<const std::byte> bytes, const GgufLimits& limits = {});
  // A file that exists only as a view of others (a model folder of another kind): `header` is a GGUF header with
  // its padding; the tensors' bytes, in the header's order, are where `bodies` says.
  struct Body {
    std::span<const std::byte> data;               // exactly the tensor's bytes, or empty:
    std::shared_ptr<const TensorContent> content;  // then this has them
  };
  static Result<GgufFile> assemble(std::vector<std::byte> header, std::vector<Body> bodies,
                                   std::shared_ptr<const void> keeps_alive, const GgufLimits& limits = {});

  const GgufMetadata& metadata() const { return metadata_; }
  // The metadata as the header has it, in its order (of a split file: the first part's): bytes of the value's type
  // and the value.
  struct RawEntry {
    std::string key;
    std::span<const std::byte> type_and_value;
  };
  std::span<const RawEntry> raw_metadata() const { return raw_metadata_; }
  std::span<const TensorView> tensors() const { return tensors_; }
  const TensorView* find_tensor(std::string_view name) const;
  // Bytes before the tensor data, padding included: what a peer must send first. (First part of a split file.)
  uint64_t data_offset() const { return data_offset_; }
  uint64_t file_bytes() const { return file_bytes_; }
  // True for the result of assemble(): there is no such file on the disk.
  bool is_assembled() const { return header_ != nullptr; }
  // Of an assembled file: bytes [offset, offset + out.size()) of the GGUF file that it stands for. Any thread.
  // kInvalidArgument beyond its end.
  Status read(uint64_t offset, std::span<std::byte> out) const;

 private:
  GgufMetadata metadata_;
  std::vector<RawEntry> raw_metadata_;
  std::vector<TensorView> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
  std::vector<std::shared_ptr<const class MappedFile>> mappings_;
  std::shared_ptr<const std::vector<std::byte>> header_;  // when assembled
  std::shared_ptr<const void> keeps_alive_;
  uint64_t data_offset_ = 0;
  uint64_t file_bytes_ = 0;
};

}  // namespace exo::formats
