#include "formats/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace exo::formats {
namespace {

std::string file_of(std::string_view header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string out(sizeof length, '\0');
  std::memcpy(out.data(), &length, sizeof length);
  out += header;
  for (size_t i = 0; i < data_bytes; ++i) out += static_cast<char>(i);
  return out;
}

Result<SafetensorsFile> parse(const std::string& bytes) {
  return SafetensorsFile::parse(std::as_bytes(std::span(bytes)));
}

TEST(Safetensors, TensorsAreViewsOfTheFile) {
  const auto bytes = file_of(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},)"
      R"("a":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]},"none":{"dtype":"F32","shape":[0,7],"data_offsets":[16,16]},)"
      R"("one":{"dtype":"I64","shape":[],"data_offsets":[16,24]}}   )",
      24);
  const auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->tensors().size(), 4u);
  EXPECT_EQ(file->metadata().at("format"), "pt");
  const auto* b = file->find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->type, SafetensorsType::kBF16);
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->data.size(), 12u);
  EXPECT_EQ(b->data[0], std::byte{4});
  EXPECT_EQ(file->find("none")->elements(), 0);
  EXPECT_EQ(file->find("one")->elements(), 1);
  EXPECT_EQ(file->find("two"), nullptr);
}

TEST(Safetensors, EscapedNames) {
  const auto bytes = file_of(R"({"caf\u00e9":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1);
  const auto file = parse(bytes);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_NE(file->find("café"), nullptr);
}

struct Bad {
  const char* name;
  std::string bytes;
  const char* says;
};

class SafetensorsBad : public testing::TestWithParam<Bad> {};

TEST_P(SafetensorsBad, IsRefused) {
  const auto file = parse(GetParam().bytes);
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find(GetParam().says), std::string::npos) << file.error().message;
}

std::string with_tensor(const std::string& fields, size_t data_bytes) {
  return file_of("{\"t\":{" + fields + "}}", data_bytes);
}

INSTANTIATE_TEST_SUITE_P(
    Files, SafetensorsBad,
    testing::Values(
        Bad{"short", "abc", "shorter than 8"},
        Bad{"long_header", std::string("\xff\xff\xff\xff\xff\xff\xff\xff", 8), "limit"},
        Bad{"cut_header", file_of("{}", 0).substr(0, 9), "ends inside the header"},
        Bad{"no_json", file_of("{]", 0), "no JSON"}, Bad{"a_list", file_of("[]", 0), "no JSON"},
        Bad{"more", file_of("{} {}", 0), "after its end"}, Bad{"unfinished", file_of("{\"a\":{", 0), "no JSON"},
        Bad{"metadata", file_of(R"({"__metadata__":{"a":1}})", 0), "a number where"},
        Bad{"no_shape", with_tensor(R"("dtype":"U8","data_offsets":[0,1])", 1), "lacks"},
        Bad{"dtype", with_tensor(R"("dtype":"Q7","shape":[1],"data_offsets":[0,1])", 1), "'Q7' is unknown"},
        Bad{"negative", with_tensor(R"("dtype":"U8","shape":[-1],"data_offsets":[0,1])", 1), "below 0"},
        Bad{"overflow", with_tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,1])", 1),
            "overflows"},
        Bad{"size", with_tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,3])", 3), "takes 4 bytes"},
        Bad{"reversed", with_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[1,0])", 1), "do not lie"},
        Bad{"beyond", with_tensor(R"("dtype":"U8","shape":[2],"data_offsets":[0,2])", 1), "do not lie"},
        Bad{"three", with_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1,2])", 1), "where none"},
        Bad{"one", with_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0])", 1), "not two"},
        Bad{"rest", with_tensor(R"("dtype":"U8","shape":[1],"data_offsets":[0,1])", 2), "end at byte 1 of 2"},
        Bad{"hole",
            file_of(
                R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                3),
            "begins at byte 2"},
        Bad{"overlap",
            file_of(
                R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                3),
            "begins at byte 1"},
        Bad{"twice",
            file_of(
                R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                1),
            "twice"}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace exo::formats
