#pragma once
// Writes GGUF v3 files: metadata and tensor descriptions are collected first, then tensor bytes are asked for piece
// by piece, so that a file larger than memory can be written.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/element_type.h"
#include "base/result.h"

namespace exo::formats {

class GgufWriter {
 public:
  // Metadata, in the width that readers of the key expect. A key set twice is a programmer's mistake.
  void set(std::string_view key, std::string_view text);
  void set(std::string_view key, const char* text) { set(key, std::string_view(text)); }
  void set(std::string_view key, bool value);
  void set(std::string_view key, uint16_t value);
  void set(std::string_view key, uint32_t value);
  void set(std::string_view key, int32_t value);
  void set(std::string_view key, uint64_t value);
  void set(std::string_view key, float value);
  void set(std::string_view key, std::span<const std::string> texts);
  void set(std::string_view key, std::span<const int32_t> values);
  void set(std::string_view key, std::span<const float> values);

  // An entry of another file's header: what follows the key, the value's type included. Well-formed (of a parsed
  // file); like set(), once per key.
  void copy(std::string_view key, std::span<const std::byte> type_and_value);

  // shape[0] is the row length, as in TensorView; its rows must be whole blocks of `type` and its size must fit 63
  // bits (programmers' mistakes otherwise). Tensors are stored in the order of these calls.
  void add_tensor(std::string name, ElementType type, std::vector<int64_t> shape);

  struct Tensor {
    std::string name;
    ElementType type;
    std::vector<int64_t> shape;
    uint64_t bytes = 0;
    uint64_t offset = 0;  // from the start of the tensor data
  };
  std::span<const Tensor> tensors() const { return tensors_; }
  uint64_t file_bytes() const;

  // Fills `piece`, whole blocks of the tensor starting `offset` bytes into it; pieces come in order, the last one
  // of a tensor may be shorter. An error ends the writing.
  using TensorSource = std::function<Status(const Tensor& tensor, uint64_t offset, std::span<std::byte> piece)>;

  // Writes beside `path` and renames when all of it is on the disk: a reader never sees half a file.
  Status write(const std::filesystem::path& path, const TensorSource& source) const;
  // What comes before the tensor data, padding included.
  std::vector<std::byte> header() const;
  // The whole file in memory, for small ones.
  Result<std::vector<std::byte>> encode(const TensorSource& source) const;

  static constexpr uint64_t kAlignment = 32;

 private:
  using Sink = std::function<Status(std::span<const std::byte>)>;
  Status stream(const TensorSource& source, const Sink& sink) const;
  void append_key(std::string_view key, uint32_t type);

  std::vector<std::byte> metadata_;
  uint64_t n_entries_ = 0;
  std::vector<std::string> keys_;
  std::vector<Tensor> tensors_;
};

}  // namespace exo::formats
