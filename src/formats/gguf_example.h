#pragma once
// For tests: a small GGUF file.

#include <gtest/gtest.h>

#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace exo::formats {

inline Status fill_with_offsets(const GgufWriter::Tensor& tensor, uint64_t offset, std::span<std::byte> piece) {
  for (size_t i = 0; i < piece.size(); ++i)
    piece[i] = static_cast<std::byte>((offset + i + tensor.name.size()) % 251);
  return {};
}

inline GgufWriter example() {
  GgufWriter writer;
  writer.set("general.architecture", "llama");
  writer.set("t.u32", uint32_t{4'000'000'000});
  writer.set("t.i32", int32_t{-7});
  writer.set("t.f32", 0.25f);
  writer.set("t.bool", true);
  writer.set("t.u64", uint64_t{1} << 63);
  writer.set("t.texts", std::vector<std::string>{"a", "", "ü"});
  writer.set("t.ints", std::vector<int32_t>{1, -2, 3});
  writer.set("t.floats", std::vector<float>{0.5f, -1.5f});
  writer.add_tensor("a", ElementType::kF32, {5, 3});
  writer.add_tensor("b", ElementType::kQ4_0, {64, 2, 2});
  return writer;
}

inline void expect_refused(const Result<GgufFile>& file, std::string_view part_of_message) {
  ASSERT_FALSE(file.has_value()) << "accepted, expected: " << part_of_message;
  EXPECT_NE(file.error().message.find(part_of_message), std::string::npos) << file.error().message;
}

}  // namespace exo::formats
