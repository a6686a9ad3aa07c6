#include "formats/gguf.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "formats/byte_reader.h"
#include "formats/mapped_file.h"

namespace exo::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "GGUF fields are read in place");

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint64_t kMaxKeyBytes = (1 << 16) - 1;
constexpr uint64_t kMaxTensorNameBytes = 1024;
constexpr int64_t kMaxSplits = 10'000;
constexpr uint32_t kMaxDimensions = 4;

enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

// The least bytes that one value takes; 0 for a type that does not exist.
uint64_t least_bytes(uint32_t type) {
  constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8};
  return type < std::size(kBytes) ? kBytes[type] : 0;
}

std::unexpected<Error> cut_short(const char* what, uint64_t offset) {
  return fail(ErrorCode::kCorrupt, "the file ends inside {} at byte {}", what, offset);
}

// A file name or key from outside, made fit for a message.
std::string printable(std::string_view text) {
  std::string out(text.substr(0, 80));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return out;
}

template <typename T>
Result<T> read_field(ByteReader& reader, const char* what) {
  if (const auto value = reader.read<T>()) return *value;
  return cut_short(what, reader.offset());
}

Result<std::string> read_string(ByteReader& reader, uint64_t max_bytes, const char* what) {
  EXO_TRY(const uint64_t length, read_field<uint64_t>(reader, what));
  if (length > max_bytes) {
    return fail(ErrorCode::kCorrupt, "{} at byte {} claims {} bytes", what, reader.offset() - 8, length);
  }
  const auto text = reader.read_text(length);
  if (!text) return cut_short(what, reader.offset());
  return std::string(*text);
}

template <typename Stored, typename Wide>
Result<GgufValue> read_scalar(ByteReader& reader) {
  EXO_TRY(const Stored value, read_field<Stored>(reader, "a metadata value"));
  return GgufValue(std::in_place_type<Wide>, static_cast<Wide>(value));
}

template <typename Stored, typename Wide>
Result<GgufValue> read_list(ByteReader& reader, uint64_t count) {
  std::vector<Wide> list;
  list.reserve(count);  // the caller checked that the bytes are there
  for (uint64_t i = 0; i < count; ++i) {
    EXO_TRY(const Stored value, read_field<Stored>(reader, "a metadata list"));
    list.push_back(static_cast<Wide>(value));
  }
  return GgufValue(std::in_place_type<std::vector<Wide>>, std::move(list));
}

Result<GgufValue> read_strings(ByteReader& reader, uint64_t count) {
  std::vector<std::string> list;
  list.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    EXO_TRY(auto text, read_string(reader, reader.remaining(), "a text in a metadata list"));
    list.push_back(std::move(text));
  }
  return GgufValue(std::move(list));
}

Result<GgufValue> read_array(ByteReader& reader) {
  EXO_TRY(const uint32_t type, read_field<uint32_t>(reader, "a metadata list"));
  EXO_TRY(const uint64_t count, read_field<uint64_t>(reader, "a metadata list"));
  if (type == kArray) return fail(ErrorCode::kUnsupported, "a metadata list of lists");
  const uint64_t each = least_bytes(type);
  if (each == 0) return fail(ErrorCode::kCorrupt, "a metadata list of unknown type {}", type);
  if (count > reader.remaining() / each) {
    return fail(ErrorCode::kCorrupt, "a metadata list claims {} entries, more than the file holds", count);
  }
  switch (type) {
    case kUint8:
      return read_list<uint8_t, uint64_t>(reader, count);
    case kInt8:
      return read_list<int8_t, int64_t>(reader, count);
    case kUint16:
      return read_list<uint16_t, uint64_t>(reader, count);
    case kInt16:
      return read_list<int16_t, int64_t>(reader, count);
    case kUint32:
      return read_list<uint32_t, uint64_t>(reader, count);
    case kInt32:
      return read_list<int32_t, int64_t>(reader, count);
    case kFloat32:
      return read_list<float, double>(reader, count);
    case kBool:
      return read_list<uint8_t, bool>(reader, count);
    case kUint64:
      return read_list<uint64_t, uint64_t>(reader, count);
    case kInt64:
      return read_list<int64_t, int64_t>(reader, count);
    case kFloat64:
      return read_list<double, double>(reader, count);
    default:
      return read_strings(reader, count);
  }
}

Result<GgufValue> read_value(ByteReader& reader, uint32_t type) {
  switch (type) {
    case kUint8:
      return read_scalar<uint8_t, uint64_t>(reader);
    case kInt8:
      return read_scalar<int8_t, int64_t>(reader);
    case kUint16:
      return read_scalar<uint16_t, uint64_t>(reader);
    case kInt16:
      return read_scalar<int16_t, int64_t>(reader);
    case kUint32:
      return read_scalar<uint32_t, uint64_t>(reader);
    case kInt32:
      return read_scalar<int32_t, int64_t>(reader);
    case kFloat32:
      return read_scalar<float, double>(reader);
    case kBool:
      return read_scalar<uint8_t, bool>(reader);
    case kUint64:
      return read_scalar<uint64_t, uint64_t>(reader);
    case kInt64:
      return read_scalar<int64_t, int64_t>(reader);
    case kFloat64:
      return read_scalar<double, double>(reader);
    case kArray:
      return read_array(reader);
    case kString: {
      EXO_TRY(auto text, read_string(reader, reader.remaining(), "a metadata text"));
      return GgufValue(std::move(text));
    }
    default:
      return fail(ErrorCode::kCorrupt, "unknown metadata type {}", type);
  }
}

struct Header {
  uint64_t n_tensors = 0, n_entries = 0;
};

Result<Header> read_preamble(ByteReader& reader, const GgufLimits& limits) {
  const auto magic = reader.read<uint32_t>();
  if (!magic || *magic != kMagic)
    return fail(ErrorCode::kCorrupt, "not a GGUF file: it does not begin with 'GGUF'");
  EXO_TRY(const uint32_t version, read_field<uint32_t>(reader, "the header"));
  if (version != 0 && (version & 0xffff) == 0) {
    return fail(ErrorCode::kUnsupported, "a big-endian GGUF file; convert it to little-endian");
  }
  if (version != 2 && version != 3) {
    return fail(ErrorCode::kUnsupported, "GGUF version {}; versions 2 and 3 are read", version);
  }
  Header header;
  EXO_TRY(header.n_tensors, read_field<uint64_t>(reader, "the header"));
  EXO_TRY(header.n_entries, read_field<uint64_t>(reader, "the header"));
  if (header.n_tensors > limits.max_tensors) {
    return fail(ErrorCode::kCorrupt, "the header claims {} tensors; the limit is {}", header.n_tensors,
                limits.max_tensors);
  }
  if (header.n_entries > limits.max_metadata_entries) {
    return fail(ErrorCode::kCorrupt, "the header claims {} metadata entries; the limit is {}", header.n_entries,
                limits.max_metadata_entries);
  }
  return header;
}

// `bytes`: what the reader reads.
Result<GgufMetadata> read_metadata(ByteReader& reader, uint64_t n_entries, std::span<const std::byte> bytes,
                                   std::vector<GgufFile::RawEntry>& raw) {
  GgufMetadata metadata;
  for (uint64_t i = 0; i < n_entries; ++i) {
    EXO_TRY(auto key, read_string(reader, kMaxKeyBytes, "a metadata key"));
    const uint64_t begin = reader.offset();
    EXO_TRY(const uint32_t type, read_field<uint32_t>(reader, "a metadata entry"));
    auto value = read_value(reader, type);
    if (!value) return std::unexpected(std::move(value).error().with_context("key '" + printable(key) + "'"));
    const auto [it, inserted] = metadata.values.emplace(std::move(key), std::move(*value));
    if (!inserted) return fail(ErrorCode::kCorrupt, "metadata key '{}' occurs twice", printable(it->first));
    raw.push_back({it->first, bytes.subspan(begin, reader.offset() - begin)});
  }
  return metadata;
}

// Shape, type and relative offset; `size` is set from the first two.
struct TensorEntry {
  TensorView view;
  uint64_t size = 0;
};

Result<TensorEntry> read_tensor_shape(ByteReader& reader, std::string name) {
  TensorEntry entry;
  auto& view = entry.view;
  EXO_TRY(const uint32_t n_dimensions, read_field<uint32_t>(reader, "a tensor description"));
  if (n_dimensions > kMaxDimensions) {
    return fail(ErrorCode::kCorrupt, "it claims {} dimensions; at most {} exist", n_dimensions, kMaxDimensions);
  }
  int64_t elements = 1;
  for (uint32_t d = 0; d < n_dimensions; ++d) {
    EXO_TRY(const uint64_t extent, read_field<uint64_t>(reader, "a tensor description"));
    const auto signed_extent = static_cast<int64_t>(extent);
    if (signed_extent <= 0) return fail(ErrorCode::kCorrupt, "dimension {} is {}", d, signed_extent);
    if (__builtin_mul_overflow(elements, signed_extent, &elements)) {
      return fail(ErrorCode::kCorrupt, "its number of elements overflows");
    }
    view.shape[d] = signed_extent;
  }
  EXO_TRY(const uint32_t type_id, read_field<uint32_t>(reader, "a tensor description"));
  const auto* type = find_element_type(type_id);
  if (type == nullptr) return fail(ErrorCode::kUnsupported, "number format {} is unknown", type_id);
  const auto row = row_bytes(type->type, static_cast<uint64_t>(view.shape[0]));
  if (!row) {
    return fail(ErrorCode::kCorrupt, "a row of {} elements is no whole number of {} blocks", view.shape[0],
                type->name);
  }
  if (__builtin_mul_overflow(*row, static_cast<uint64_t>(view.rows()), &entry.size)) {
    return fail(ErrorCode::kCorrupt, "its number of bytes overflows");
  }
  EXO_TRY(view.file_offset, read_field<uint64_t>(reader, "a tensor description"));
  view.name = std::move(name);
  view.type = type->type;
  view.n_dimensions = static_cast<int32_t>(n_dimensions);
  return entry;
}

Result<std::vector<TensorEntry>> read_tensor_entries(ByteReader& reader, uint64_t n_tensors) {
  constexpr uint64_t kLeastEntryBytes = 8 + 4 + 4 + 8;
  if (n_tensors > reader.remaining() / kLeastEntryBytes) {
    return fail(ErrorCode::kCorrupt, "the header claims {} tensors, more than the file can describe", n_tensors);
  }
  std::vector<TensorEntry> entries;
  entries.reserve(n_tensors);
  for (uint64_t i = 0; i < n_tensors; ++i) {
    EXO_TRY(auto name, read_string(reader, kMaxTensorNameBytes, "a tensor name"));
    const std::string shown = printable(name);
    auto entry = read_tensor_shape(reader, std::move(name));
    if (!entry) return std::unexpected(std::move(entry).error().with_context("tensor '" + shown + "'"));
    entries.push_back(std::move(*entry));
  }
  return entries;
}

Result<uint64_t> alignment_of(const GgufMetadata& metadata) {
  if (metadata.find("general.alignment") == nullptr) return kDefaultAlignment;
  EXO_TRY(const int64_t value, metadata.integer("general.alignment"));
  if (value <= 0 || value > static_cast<int64_t>(kMaxAlignment) ||
      !std::has_single_bit(static_cast<uint64_t>(value))) {
    return fail(ErrorCode::kCorrupt, "general.alignment is {}, not a power of two up to {}", value, kMaxAlignment);
  }
  return static_cast<uint64_t>(value);
}

// One physical file.
struct Part {
  GgufMetadata metadata;
  std::vector<GgufFile::RawEntry> raw_metadata;
  std::vector<TensorView> tensors;
  uint64_t data_offset = 0;
};

// Checks where a tensor of a file of `file_bytes` is said to lie, and makes its offset one from the file's start.
Status place_tensor(TensorEntry& entry, uint64_t file_bytes, uint64_t data_offset, uint64_t alignment) {
  auto& view = entry.view;
  if (view.file_offset % alignment != 0) {
    return fail(ErrorCode::kCorrupt, "offset {} is not aligned to {}", view.file_offset, alignment);
  }
  uint64_t begin, end;
  if (__builtin_add_overflow(view.file_offset, data_offset, &begin) ||
      __builtin_add_overflow(begin, entry.size, &end) || end > file_bytes) {
    return fail(ErrorCode::kCorrupt, "{} bytes at offset {} reach beyond the end of the file ({} bytes)",
                entry.size, view.file_offset, file_bytes);
  }
  view.file_offset = begin;
  return {};
}

// `bytes`: at least the header of a file of `file_bytes`. Leaves every tensor's data empty.
Result<Part> parse_header(std::span<const std::byte> bytes, uint64_t file_bytes, const GgufLimits& limits) {
  ByteReader reader(bytes.first(std::min<uint64_t>(bytes.size(), limits.max_header_bytes)));
  EXO_TRY(const Header header, read_preamble(reader, limits));
  Part part;
  EXO_TRY(part.metadata, read_metadata(reader, header.n_entries, bytes, part.raw_metadata));
  EXO_TRY(auto entries, read_tensor_entries(reader, header.n_tensors));
  EXO_TRY(const uint64_t alignment, alignment_of(part.metadata));
  part.data_offset = (reader.offset() + alignment - 1) / alignment * alignment;
  part.tensors.reserve(entries.size());
  for (auto& entry : entries) {
    if (auto placed = place_tensor(entry, file_bytes, part.data_offset, alignment); !placed) {
      return std::unexpected(std::move(placed).error().with_context("tensor '" + printable(entry.view.name) + "'"));
    }
    part.tensors.push_back(std::move(entry.view));
  }
  return part;
}

Result<Part> parse_part(std::span<const std::byte> bytes, const GgufLimits& limits) {
  EXO_TRY(auto part, parse_header(bytes, bytes.size(), limits));
  for (auto& view : part.tensors) view.data = bytes.subspan(view.file_offset, view.bytes());
  return part;
}

Result<int64_t> optional_integer(const GgufMetadata& metadata, std::string_view key, int64_t absent) {
  return metadata.find(key) == nullptr ? Result<int64_t>(absent) : metadata.integer(key);
}

std::string split_suffix(int64_t part, int64_t count) {
  return fmt::format("-{:05}-of-{:05}.gguf", part + 1, count);
}

}  // namespace

const TensorView* GgufFile::find_tensor(std::string_view name) const {
  const auto it = tensor_index_.find(name);
  return it == tensor_index_.end() ? nullptr : &tensors_[it->second];
}

namespace {

Status append_tensors(std::vector<TensorView>& all, std::map<std::string, size_t, std::less<>>& index, Part& part,
                      int32_t file_part) {
  for (auto& view : part.tensors) {
    view.file_part = file_part;
    if (!index.emplace(view.name, all.size()).second) {
      return fail(ErrorCode::kCorrupt, "tensor '{}' occurs twice", printable(view.name));
    }
    all.push_back(std::move(view));
  }
  return {};
}

Result<Part> open_part(const std::filesystem::path& path, const GgufLimits& limits,
                       std::vector<std::shared_ptr<const MappedFile>>& mappings) {
  EXO_TRY(auto mapping, MappedFile::open(path));
  auto part = parse_part(mapping->bytes(), limits);
  if (!part) return std::unexpected(std::move(part).error().with_context(path.filename().string()));
  mappings.push_back(std::move(mapping));
  return part;
}

}  // namespace

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, const GgufLimits& limits) {
  EXO_TRY(auto part, parse_part(bytes, limits));
  EXO_TRY(const int64_t n_splits, optional_integer(part.metadata, "split.count", 1));
  if (n_splits > 1) {
    return fail(ErrorCode::kUnsupported, "one part of a model cut in {} files: it needs all of them", n_splits);
  }
  GgufFile file;
  EXO_CHECK_OK(append_tensors(file.tensors_, file.tensor_index_, part, 0));
  file.metadata_ = std::move(part.metadata);
  file.raw_metadata_ = std::move(part.raw_metadata);
  file.data_offset_ = part.data_offset;
  file.file_bytes_ = bytes.size();
  return file;
}

Result<GgufFile> GgufFile::assemble(std::vector<std::byte> header, std::vector<Body> bodies,
                                    std::shared_ptr<const void> keeps_alive, const GgufLimits& limits) {
  const auto kept = std::make_shared<const std::vector<std::byte>>(std::move(header));
  EXO_TRY(auto part, parse_header(*kept, std::numeric_limits<int64_t>::max(), limits));
  if (bodies.size() != part.tensors.size()) {
    return fail(ErrorCode::kInvalidArgument, "{} bodies for {} tensors", bodies.size(), part.tensors.size());
  }
  GgufFile file;
  file.file_bytes_ = kept->size();
  for (size_t i = 0; i < bodies.size(); ++i) {
    auto& view = part.tensors[i];
    if (bodies[i].content == nullptr && bodies[i].data.size() != view.bytes()) {
      return fail(ErrorCode::kInvalidArgument, "tensor '{}' has {} bytes of {}", view.name, bodies[i].data.size(),
                  view.bytes());
    }
    if (view.file_offset < file.file_bytes_) {
      return fail(ErrorCode::kInvalidArgument, "tensor '{}' begins inside the one before", view.name);
    }
    view.data = bodies[i].data;
    view.content = std::move(bodies[i].content);
    file.file_bytes_ = view.file_offset + view.bytes();
  }
  EXO_CHECK_OK(append_tensors(file.tensors_, file.tensor_index_, part, 0));
  file.metadata_ = std::move(part.metadata);
  file.data_offset_ = part.data_offset;
  file.raw_metadata_ = std::move(part.raw_metadata);
  file.header_ = kept;
  file.keeps_alive_ = std::move(keeps_alive);
  return file;
}

Status GgufFile::read(uint64_t offset, std::span<std::byte> out) const {
  if (!is_assembled() || offset > file_bytes_ || out.size() > file_bytes_ - offset) {
    return fail(ErrorCode::kInvalidArgument, "bytes beyond the file");
  }
  std::ranges::fill(out, std::byte{0});  // padding
  const uint64_t end = offset + out.size();
  const auto& header = *header_;
  if (offset < header.size()) {
    std::copy_n(header.begin() + static_cast<ptrdiff_t>(offset), std::min<uint64_t>(end, header.size()) - offset,
                out.begin());
  }
  // Tensors are in the order of their offsets.
  auto it = std::ranges::upper_bound(tensors_, offset, {}, &TensorView::file_offset);
  if (it != tensors_.begin()) --it;
  for (; it != tensors_.end() && it->file_offset < end; ++it) {
    const uint64_t begin = std::max(offset, it->file_offset), stop = std::min(end, it->file_offset + it->bytes());
    if (begin >= stop) continue;
    const auto piece = out.subspan(begin - offset, stop - begin);
    EXO_CHECK_OK(it->read(begin - it->file_offset, piece));
  }
  return {};
}

Result<GgufFile> GgufFile::open(const std::filesystem::path& path, const GgufLimits& limits) {
  GgufFile file;
  EXO_TRY(auto first, open_part(path, limits, file.mappings_));
  EXO_TRY(const int64_t n_splits, optional_integer(first.metadata, "split.count", 1));
  EXO_TRY(const int64_t number, optional_integer(first.metadata, "split.no", 0));
  EXO_TRY(const int64_t n_tensors, optional_integer(first.metadata, "split.tensors.count", -1));
  const std::string name = path.filename().string();
  if (n_splits > kMaxSplits) return fail(ErrorCode::kCorrupt, "{}: split.count is {}", name, n_splits);
  if (number != 0) {
    return fail(ErrorCode::kInvalidArgument, "{} is part {} of a model cut in {} files: open its first part", name,
                number + 1, n_splits);
  }
  EXO_CHECK_OK(append_tensors(file.tensors_, file.tensor_index_, first, 0));
  if (n_splits > 1) {
    const std::string suffix = split_suffix(0, n_splits);
    if (!name.ends_with(suffix)) {
      return fail(ErrorCode::kInvalidArgument, "{} is the first of {} files, so its name must end in '{}'", name,
                  n_splits, suffix);
    }
    for (int64_t i = 1; i < n_splits; ++i) {
      const auto sibling = name.substr(0, name.size() - suffix.size()) + split_suffix(i, n_splits);
      EXO_TRY(auto part, open_part(path.parent_path() / sibling, limits, file.mappings_));
      EXO_TRY(const int64_t part_number, part.metadata.integer("split.no"));
      EXO_TRY(const int64_t part_count, part.metadata.integer("split.count"));
      if (part_number != i || part_count != n_splits) {
        return fail(ErrorCode::kCorrupt, "{} says it is part {} of {}", sibling, part_number + 1, part_count);
      }
      EXO_CHECK_OK(append_tensors(file.tensors_, file.tensor_index_, part, static_cast<int32_t>(i)));
    }
    if (n_tensors >= 0 && static_cast<size_t>(n_tensors) != file.tensors_.size()) {
      return fail(ErrorCode::kCorrupt, "{}: the parts hold {} tensors, split.tensors.count says {}", name,
                  file.tensors_.size(), n_tensors);
    }
  }
  file.metadata_ = std::move(first.metadata);
  file.raw_metadata_ = std::move(first.raw_metadata);
  file.data_offset_ = first.data_offset;
  for (const auto& mapping : file.mappings_) file.file_bytes_ += mapping->bytes().size();
  return file;
}

}  // namespace exo::formats
