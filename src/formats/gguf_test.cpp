#include "formats/gguf.h"

#include <gtest/gtest.h>

#include <cstring>

#include "formats/gguf_example.h"
#include "formats/gguf_writer.h"

namespace exo::formats {
namespace {

using Bytes = std::vector<std::byte>;

Bytes example_bytes() { return *example().encode(fill_with_offsets); }

// A file that a test writes field by field, to break it.
class RawFile {
 public:
  RawFile(uint64_t n_tensors, uint64_t n_entries, uint32_t version = 3) {
    text("GGUF").put(version).put(n_tensors).put(n_entries);
  }
  template <typename T>
  RawFile& put(T value) {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof value);
    return *this;
  }
  RawFile& text(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  RawFile& string(std::string_view s) { return put<uint64_t>(s.size()).text(s); }
  RawFile& tensor(std::string_view name, std::vector<uint64_t> shape, uint32_t type, uint64_t offset) {
    string(name).put<uint32_t>(static_cast<uint32_t>(shape.size()));
    for (const auto extent : shape) put(extent);
    return put(type).put(offset);
  }
  RawFile& pad(size_t bytes) {
    bytes_.resize(bytes_.size() + bytes);
    return *this;
  }
  Result<GgufFile> parse() const { return GgufFile::parse(bytes_); }

 private:
  Bytes bytes_;
};

TEST(Gguf, ReadsWhatWasWritten) {
  const Bytes bytes = example_bytes();
  const auto file = GgufFile::parse(bytes);
  ASSERT_TRUE(file.has_value()) << file.error().message;
  const auto& metadata = file->metadata();
  EXPECT_EQ(*metadata.string("general.architecture"), "llama");
  EXPECT_EQ(*metadata.integer("t.u32"), 4'000'000'000);
  EXPECT_EQ(*metadata.integer("t.i32"), -7);
  EXPECT_EQ(*metadata.number("t.f32"), 0.25);
  EXPECT_EQ(*metadata.number("t.i32"), -7.0);
  EXPECT_TRUE(*metadata.boolean("t.bool"));
  EXPECT_EQ(*metadata.strings("t.texts"), (std::vector<std::string>{"a", "", "ü"}));
  EXPECT_EQ(*metadata.integers("t.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(*metadata.numbers("t.floats"), (std::vector<double>{0.5, -1.5}));
  EXPECT_EQ(metadata.integer("t.u64").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(metadata.integer("t.f32").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(metadata.string("absent").error().code, ErrorCode::kNotFound);

  ASSERT_EQ(file->tensors().size(), 2u);
  const auto* b = file->find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type, ElementType::kQ4_0);
  EXPECT_EQ(b->shape, (std::array<int64_t, 4>{64, 2, 2, 1}));
  EXPECT_EQ(b->data.size(), 2u * 4 * 18);
  EXPECT_EQ(b->file_offset % 32, 0u);
  EXPECT_EQ(b->file_offset, file->data_offset() + 64);  // 60 bytes of "a", padded
  EXPECT_EQ(b->data[5], static_cast<std::byte>(6));
  EXPECT_EQ(file->find_tensor("c"), nullptr);
}

TEST(Gguf, EveryCutIsRefusedOrReadsOnlyWholeTensors) {
  const Bytes bytes = example_bytes();
  const auto whole = GgufFile::parse(bytes);
  const size_t end = whole->find_tensor("b")->file_offset + whole->find_tensor("b")->data.size();
  for (size_t size = 0; size < end; ++size) {
    const auto cut = std::span(bytes).first(size);
    const auto exact = std::make_unique<std::byte[]>(size);  // so that a sanitizer sees every step beyond
    if (size > 0) std::memcpy(exact.get(), cut.data(), size);
    EXPECT_FALSE(GgufFile::parse({exact.get(), size}).has_value()) << size;
  }
}

TEST(Gguf, HostileHeadersAreNamed) {
  expect_refused(GgufFile::parse({}), "not a GGUF file");
  expect_refused(RawFile(0, 0, 1).parse(), "version 1");
  expect_refused(RawFile(0, 0, 0x03000000).parse(), "big-endian");
  expect_refused(RawFile(1ull << 40, 0).parse(), "tensors");
  expect_refused(RawFile(0, 1ull << 40).parse(), "metadata entries");
  expect_refused(RawFile(1000, 0).pad(64).parse(), "more than the file can describe");
  expect_refused(RawFile(0, 1).put<uint64_t>(1ull << 60).pad(64).parse(), "claims");
  expect_refused(RawFile(0, 1).string("k").put<uint32_t>(13).pad(8).parse(), "unknown metadata type 13");
  expect_refused(RawFile(0, 1).string("k").put<uint32_t>(8).put<uint64_t>(~0ull).parse(), "key 'k'");
  expect_refused(RawFile(0, 1).string("k").put<uint32_t>(9).put<uint32_t>(4).put<uint64_t>(1ull << 61).parse(),
                 "more than the file holds");
  expect_refused(RawFile(0, 1).string("k").put<uint32_t>(9).put<uint32_t>(9).put<uint64_t>(1).pad(32).parse(),
                 "list of lists");
  expect_refused(RawFile(0, 2)
                     .string("k")
                     .put<uint32_t>(7)
                     .put<uint8_t>(1)
                     .string("k")
                     .put<uint32_t>(7)
                     .put<uint8_t>(1)
                     .parse(),
                 "twice");
}

TEST(Gguf, HostileTensorsAreNamed) {
  expect_refused(RawFile(1, 0).tensor("x", {4, 1, 1, 1, 1}, 0, 0).pad(64).parse(), "5 dimensions");
  expect_refused(RawFile(1, 0).tensor("x", {4, 0}, 0, 0).pad(64).parse(), "dimension 1 is 0");
  expect_refused(RawFile(1, 0).tensor("x", {~0ull}, 0, 0).pad(64).parse(), "dimension 0 is -1");
  expect_refused(RawFile(1, 0).tensor("x", {1ull << 32, 1ull << 32}, 0, 0).pad(64).parse(), "elements overflows");
  expect_refused(RawFile(1, 0).tensor("x", {1ull << 31, 1ull << 31}, 28, 0).pad(64).parse(), "bytes overflows");
  expect_refused(RawFile(1, 0).tensor("x", {8}, 4, 0).pad(64).parse(), "format 4 is unknown");
  expect_refused(RawFile(1, 0).tensor("x", {33}, 8, 0).pad(64).parse(), "no whole number of Q8_0 blocks");
  expect_refused(RawFile(1, 0).tensor("x", {8}, 0, 8).pad(96).parse(), "not aligned");
  expect_refused(RawFile(1, 0).tensor("x", {8}, 0, 1ull << 40).pad(96).parse(), "beyond the end");
  expect_refused(RawFile(1, 0).tensor("x", {8}, 0, ~31ull).pad(96).parse(), "beyond the end");
  expect_refused(RawFile(2, 0).tensor("x", {8}, 0, 0).tensor("x", {8}, 0, 0).pad(160).parse(), "occurs twice");
}

TEST(Gguf, AlignmentMustBeAPowerOfTwo) {
  for (const uint32_t bad : {0u, 3u, 48u, 1u << 30}) {
    GgufWriter writer;
    writer.set("general.alignment", bad);
    const auto bytes = *writer.encode(fill_with_offsets);
    expect_refused(GgufFile::parse(bytes), "general.alignment");
  }
}

}  // namespace
}  // namespace exo::formats
