#pragma once
// For tests: reference results of tools/golden. int32 number of tokens, int32 width; the tokens, int32; the values,
// f32.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/ids.h"
#include "formats/mapped_file.h"

namespace exo::model {

struct GoldenFile {
  std::vector<TokenId> tokens;
  size_t width = 0;
  std::vector<float> values;  // all that follow the tokens: [n_tokens or 1, width]
};

inline std::string testdata_path(const std::string& name) {
  return std::string(EXO_SOURCE_DIR) + "/src/model/testdata/" + name;
}

inline GoldenFile read_golden(const std::string& name) {
  GoldenFile golden;
  const auto file = formats::MappedFile::open(testdata_path(name + ".golden"));
  if (!file) {
    ADD_FAILURE() << file.error().message;
    return golden;
  }
  auto bytes = (*file)->bytes();
  const auto take = [&](void* to, size_t n) {
    ASSERT_LE(n, bytes.size()) << name;
    std::memcpy(to, bytes.data(), n);
    bytes = bytes.subspan(n);
  };
  int32_t sizes[2] = {};
  take(sizes, sizeof sizes);
  golden.tokens.resize(static_cast<size_t>(sizes[0]));
  golden.width = static_cast<size_t>(sizes[1]);
  take(golden.tokens.data(), golden.tokens.size() * sizeof(int32_t));
  golden.values.resize(bytes.size() / sizeof(float));
  take(golden.values.data(), bytes.size());
  EXPECT_TRUE(golden.width > 0 && !golden.values.empty() && golden.values.size() % golden.width == 0) << name;
  return golden;
}

}  // namespace exo::model
