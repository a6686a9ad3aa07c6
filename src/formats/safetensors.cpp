#include "formats/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <utility>

#include "formats/byte_reader.h"
#include "formats/mapped_file.h"
#include "formats/safetensors_header.h"

namespace exo::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors data is used in place");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // as the reference implementation

struct TypeRow {
  SafetensorsType type;
  std::string_view name;
  int64_t bytes;
};

constexpr auto kTypes = std::to_array<TypeRow>({
    {SafetensorsType::kBool, "BOOL", 1},
    {SafetensorsType::kU8, "U8", 1},
    {SafetensorsType::kI8, "I8", 1},
    {SafetensorsType::kF8E4M3, "F8_E4M3", 1},
    {SafetensorsType::kF8E5M2, "F8_E5M2", 1},
    {SafetensorsType::kF8E8M0, "F8_E8M0", 1},
    {SafetensorsType::kI16, "I16", 2},
    {SafetensorsType::kU16, "U16", 2},
    {SafetensorsType::kF16, "F16", 2},
    {SafetensorsType::kBF16, "BF16", 2},
    {SafetensorsType::kI32, "I32", 4},
    {SafetensorsType::kU32, "U32", 4},
    {SafetensorsType::kF32, "F32", 4},
    {SafetensorsType::kI64, "I64", 8},
    {SafetensorsType::kU64, "U64", 8},
    {SafetensorsType::kF64, "F64", 8},
});

const TypeRow& row_of(SafetensorsType type) { return *std::ranges::find(kTypes, type, &TypeRow::type); }

// A name from outside, made fit for a message.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 120));
  std::ranges::replace_if(
      out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return out;
}

std::optional<uint64_t> size_of(SafetensorsType type, std::span<const int64_t> shape) {
  int64_t bytes = bytes_of(type);
  for (const int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return static_cast<uint64_t>(bytes);
}

Result<SafetensorsTensor> make_tensor(const HeaderEntry& entry, std::span<const std::byte> data) {
  SafetensorsTensor tensor;
  const auto type = std::ranges::find(kTypes, entry.dtype, &TypeRow::name);
  if (type == kTypes.end()) {
    return fail(ErrorCode::kUnsupported, "number format '{}' is unknown", printable(entry.dtype));
  }
  tensor.type = type->type;
  tensor.shape = entry.shape;
  if (entry.begin > entry.end || entry.end > data.size()) {
    return fail(ErrorCode::kCorrupt, "bytes {} to {} do not lie in the {} bytes of data", entry.begin, entry.end,
                data.size());
  }
  tensor.data = data.subspan(entry.begin, entry.end - entry.begin);
  const auto size = size_of(tensor.type, tensor.shape);
  if (!size) return fail(ErrorCode::kCorrupt, "its size overflows");
  if (*size != tensor.data.size()) {
    return fail(ErrorCode::kCorrupt, "shape [{}] of {} takes {} bytes, the file has {}",
                fmt::join(tensor.shape, ", "), type->name, *size, tensor.data.size());
  }
  tensor.name = entry.name;
  return tensor;
}

// The tensors, ordered by place, cover the data without gap or overlap.
Status check_cover(std::vector<HeaderEntry>& entries, uint64_t data_bytes) {
  std::ranges::sort(entries, {}, [](const HeaderEntry& entry) { return std::pair(entry.begin, entry.end); });
  uint64_t end = 0;
  for (const auto& entry : entries) {
    if (entry.begin != end) {
      return fail(ErrorCode::kCorrupt, "tensor '{}' begins at byte {} of the data where {} was expected",
                  printable(entry.name), entry.begin, end);
    }
    end = entry.end;
  }
  if (end != data_bytes) return fail(ErrorCode::kCorrupt, "the tensors end at byte {} of {}", end, data_bytes);
  return {};
}

}  // namespace

std::string_view to_string(SafetensorsType type) { return row_of(type).name; }
int64_t bytes_of(SafetensorsType type) { return row_of(type).bytes; }

int64_t SafetensorsTensor::elements() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

const SafetensorsTensor* SafetensorsFile::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

Result<SafetensorsFile> SafetensorsFile::parse(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  const auto header_bytes = reader.read<uint64_t>();
  if (!header_bytes) return fail(ErrorCode::kCorrupt, "shorter than 8 bytes");
  if (*header_bytes > kMaxHeaderBytes) {
    return fail(ErrorCode::kCorrupt, "the header claims {} bytes; the limit is {}", *header_bytes, kMaxHeaderBytes);
  }
  const auto text = reader.read_text(*header_bytes);
  if (!text) return fail(ErrorCode::kCorrupt, "the file ends inside the header of {} bytes", *header_bytes);
  EXO_TRY(auto header, parse_safetensors_header(*text));

  SafetensorsFile file;
  file.file_bytes_ = bytes.size();
  file.metadata_ = std::move(header.metadata);
  const auto data = bytes.subspan(reader.offset());
  for (const auto& entry : header.entries) {
    auto tensor = make_tensor(entry, data);
    if (!tensor) {
      return std::unexpected(std::move(tensor).error().with_context("tensor '" + printable(entry.name) + "'"));
    }
    if (!file.tensors_.emplace(entry.name, std::move(*tensor)).second) {
      return fail(ErrorCode::kCorrupt, "tensor '{}' occurs twice", printable(entry.name));
    }
  }
  EXO_CHECK_OK(check_cover(header.entries, data.size()));
  return file;
}

Result<SafetensorsFile> SafetensorsFile::open(const std::filesystem::path& path) {
  EXO_TRY(auto mapping, MappedFile::open(path));
  auto file = parse(mapping->bytes());
  if (!file) return std::unexpected(std::move(file).error().with_context(path.filename().string()));
  file->mapping_ = std::move(mapping);
  return file;
}

}  // namespace exo::formats
