#include "formats/gguf_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include "base/check.h"

namespace exo::formats {
namespace {

constexpr uint64_t kPieceBytes = 4 << 20;

enum ValueType : uint32_t {
  kUint16 = 2,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10
};

void append(std::vector<std::byte>& out, const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  out.insert(out.end(), bytes, bytes + size);
}
template <typename T>
void append_value(std::vector<std::byte>& out, T value) {
  append(out, &value, sizeof value);
}
void append_text(std::vector<std::byte>& out, std::string_view text) {
  append_value<uint64_t>(out, text.size());
  append(out, text.data(), text.size());
}
template <typename T>
void append_list(std::vector<std::byte>& out, uint32_t type, std::span<const T> values) {
  append_value<uint32_t>(out, type);
  append_value<uint64_t>(out, values.size());
  append(out, values.data(), values.size_bytes());
}

uint64_t aligned(uint64_t offset) {
  return (offset + GgufWriter::kAlignment - 1) / GgufWriter::kAlignment * GgufWriter::kAlignment;
}

// The largest piece of whole blocks that is not above kPieceBytes.
uint64_t piece_bytes(ElementType type) {
  const auto block = static_cast<uint64_t>(info(type).block_bytes);
  return kPieceBytes / block * block;
}

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

std::unexpected<Error> disk_error(const std::filesystem::path& path) {
  const int code = errno;
  return fail(code == ENOSPC || code == EDQUOT ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable,
              "cannot write {}: {}", path.string(), std::strerror(code));
}

}  // namespace

void GgufWriter::append_key(std::string_view key, uint32_t type) {
  EXO_CHECK(std::ranges::find(keys_, key) == keys_.end());
  keys_.emplace_back(key);
  append_text(metadata_, key);
  append_value<uint32_t>(metadata_, type);
  ++n_entries_;
}

void GgufWriter::set(std::string_view key, std::string_view text) {
  append_key(key, kString);
  append_text(metadata_, text);
}
void GgufWriter::set(std::string_view key, bool value) {
  append_key(key, kBool);
  append_value<uint8_t>(metadata_, value ? 1 : 0);
}
void GgufWriter::set(std::string_view key, uint16_t value) {
  append_key(key, kUint16);
  append_value(metadata_, value);
}
void GgufWriter::set(std::string_view key, uint32_t value) {
  append_key(key, kUint32);
  append_value(metadata_, value);
}
void GgufWriter::set(std::string_view key, int32_t value) {
  append_key(key, kInt32);
  append_value(metadata_, value);
}
void GgufWriter::set(std::string_view key, uint64_t value) {
  append_key(key, kUint64);
  append_value(metadata_, value);
}
void GgufWriter::set(std::string_view key, float value) {
  append_key(key, kFloat32);
  append_value(metadata_, value);
}
void GgufWriter::set(std::string_view key, std::span<const std::string> texts) {
  append_key(key, kArray);
  append_value<uint32_t>(metadata_, kString);
  append_value<uint64_t>(metadata_, texts.size());
  for (const auto& text : texts) append_text(metadata_, text);
}
void GgufWriter::set(std::string_view key, std::span<const int32_t> values) {
  append_key(key, kArray);
  append_list(metadata_, kInt32, values);
}
void GgufWriter::set(std::string_view key, std::span<const float> values) {
  append_key(key, kArray);
  append_list(metadata_, kFloat32, values);
}

void GgufWriter::copy(std::string_view key, std::span<const std::byte> type_and_value) {
  EXO_CHECK(std::ranges::find(keys_, key) == keys_.end());
  keys_.emplace_back(key);
  append_text(metadata_, key);
  append(metadata_, type_and_value.data(), type_and_value.size());
  ++n_entries_;
}

void GgufWriter::add_tensor(std::string name, ElementType type, std::vector<int64_t> shape) {
  EXO_CHECK(!shape.empty() && shape.size() <= 4);
  EXO_CHECK(std::ranges::all_of(shape, [](int64_t extent) { return extent > 0; }));
  const auto row = row_bytes(type, static_cast<uint64_t>(shape[0]));
  EXO_CHECK(row.has_value());
  uint64_t bytes = *row;
  for (size_t d = 1; d < shape.size(); ++d) {
    EXO_CHECK(!__builtin_mul_overflow(bytes, static_cast<uint64_t>(shape[d]), &bytes) && bytes <= INT64_MAX);
  }
  const uint64_t offset = tensors_.empty() ? 0 : aligned(tensors_.back().offset + tensors_.back().bytes);
  tensors_.push_back({std::move(name), type, std::move(shape), bytes, offset});
}

std::vector<std::byte> GgufWriter::header() const {
  std::vector<std::byte> out;
  append(out, "GGUF", 4);
  append_value<uint32_t>(out, 3);
  append_value<uint64_t>(out, tensors_.size());
  append_value<uint64_t>(out, n_entries_);
  append(out, metadata_.data(), metadata_.size());
  for (const auto& tensor : tensors_) {
    append_text(out, tensor.name);
    append_value<uint32_t>(out, static_cast<uint32_t>(tensor.shape.size()));
    for (const int64_t extent : tensor.shape) append_value<uint64_t>(out, static_cast<uint64_t>(extent));
    append_value<uint32_t>(out, static_cast<uint32_t>(tensor.type));
    append_value<uint64_t>(out, tensor.offset);
  }
  out.resize(aligned(out.size()));
  return out;
}

uint64_t GgufWriter::file_bytes() const {
  return header().size() + (tensors_.empty() ? 0 : aligned(tensors_.back().offset + tensors_.back().bytes));
}

Status GgufWriter::stream(const TensorSource& source, const Sink& sink) const {
  EXO_CHECK_OK(sink(header()));
  std::vector<std::byte> buffer;
  for (const auto& tensor : tensors_) {
    const uint64_t largest = piece_bytes(tensor.type);
    for (uint64_t done = 0; done < tensor.bytes;) {
      buffer.resize(std::min(largest, tensor.bytes - done));
      EXO_CHECK_OK(source(tensor, done, buffer));
      EXO_CHECK_OK(sink(buffer));
      done += buffer.size();
    }
    buffer.assign(aligned(tensor.bytes) - tensor.bytes, std::byte{0});
    EXO_CHECK_OK(sink(buffer));
  }
  return {};
}

Status GgufWriter::write(const std::filesystem::path& path, const TensorSource& source) const {
  auto partial = path;
  partial += ".partial";
  File file(std::fopen(partial.c_str(), "wb"));
  if (file == nullptr) return disk_error(partial);
  auto written = stream(source, [&](std::span<const std::byte> piece) -> Status {
    if (std::fwrite(piece.data(), 1, piece.size(), file.get()) != piece.size()) return disk_error(partial);
    return {};
  });
  if (written && std::fflush(file.get()) != 0) written = disk_error(partial);
  if (written && std::fclose(file.release()) != 0) written = disk_error(partial);
  if (written && std::rename(partial.c_str(), path.c_str()) != 0) written = disk_error(path);
  if (!written) std::remove(partial.c_str());
  return written;
}

Result<std::vector<std::byte>> GgufWriter::encode(const TensorSource& source) const {
  std::vector<std::byte> out;
  EXO_CHECK_OK(stream(source, [&](std::span<const std::byte> piece) -> Status {
    out.insert(out.end(), piece.begin(), piece.end());
    return {};
  }));
  return out;
}

}  // namespace exo::formats
