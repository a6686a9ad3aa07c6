// GGUF on disk: written, mapped, split over several files.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "formats/gguf_example.h"
#include "formats/mapped_file.h"

namespace exo::formats {
namespace {

class GgufOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("exo-gguf-{}", ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write_split(int part, int count, const std::string& tensor, std::string name = {}) {
    GgufWriter writer;
    writer.set("split.no", static_cast<uint16_t>(part));
    writer.set("split.count", static_cast<uint16_t>(count));
    writer.set("split.tensors.count", static_cast<int32_t>(count));
    writer.add_tensor(tensor, ElementType::kF32, {8});
    if (name.empty()) name = fmt::format("m-{:05}-of-{:05}.gguf", part + 1, count);
    ASSERT_TRUE(writer.write(folder_ / name, fill_with_offsets).has_value());
  }
  Result<GgufFile> open(const char* name) { return GgufFile::open(folder_ / name); }

  std::filesystem::path folder_;
};

TEST_F(GgufOnDisk, WritesAndMaps) {
  ASSERT_TRUE(example().write(folder_ / "m.gguf", fill_with_offsets).has_value());
  const auto file = open("m.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->file_bytes(), example().file_bytes());
  EXPECT_EQ(file->file_bytes(), std::filesystem::file_size(folder_ / "m.gguf"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "m.gguf.partial"));
  prefetch(file->find_tensor("b")->data);
  fault_in(file->find_tensor("b")->data);
  EXPECT_EQ(file->find_tensor("a")->data[3], static_cast<std::byte>(4));
}

TEST_F(GgufOnDisk, AFailedSourceLeavesNoFile) {
  const auto written = example().write(folder_ / "m.gguf", [](const auto&, uint64_t, auto) -> Status {
    return fail(ErrorCode::kCancelled, "stopped");
  });
  EXPECT_EQ(written.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(GgufOnDisk, OddPathsAreErrors) {
  EXPECT_EQ(open("absent.gguf").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(GgufFile::open(folder_).error().code, ErrorCode::kInvalidArgument);
  std::ofstream(folder_ / "empty.gguf").flush();
  EXPECT_EQ(open("empty.gguf").error().code, ErrorCode::kCorrupt);
}

TEST_F(GgufOnDisk, HolesOfASparseFileReadAsZeros) {
  ASSERT_TRUE(example().write(folder_ / "m.gguf", fill_with_offsets).has_value());
  const auto offset = GgufFile::open(folder_ / "m.gguf")->data_offset();
  const auto size = std::filesystem::file_size(folder_ / "m.gguf");
  std::filesystem::resize_file(folder_ / "m.gguf", offset);
  expect_refused(open("m.gguf"), "beyond the end");
  std::filesystem::resize_file(folder_ / "m.gguf", size);
  const auto file = open("m.gguf");
  ASSERT_TRUE(file.has_value());
  for (const auto byte : file->find_tensor("b")->data) EXPECT_EQ(byte, std::byte{0});
}

TEST_F(GgufOnDisk, JoinsSplitFiles) {
  for (int part = 0; part < 3; ++part) write_split(part, 3, std::string(1, static_cast<char>('a' + part)));
  const auto file = open("m-00001-of-00003.gguf");
  ASSERT_TRUE(file.has_value()) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 3u);
  EXPECT_EQ(file->find_tensor("c")->file_part, 2);
  expect_refused(open("m-00002-of-00003.gguf"), "open its first part");
}

TEST_F(GgufOnDisk, BrokenSplitsAreRefused) {
  write_split(0, 3, "a");
  expect_refused(open("m-00001-of-00003.gguf"), "m-00002-of-00003.gguf");
  write_split(1, 3, "a");
  expect_refused(open("m-00001-of-00003.gguf"), "occurs twice");
  write_split(2, 3, "b", "m-00002-of-00003.gguf");
  expect_refused(open("m-00001-of-00003.gguf"), "says it is part 3 of 3");
  write_split(0, 3, "a", "other.gguf");
  expect_refused(open("other.gguf"), "name must end in");
}

}  // namespace
}  // namespace exo::formats
