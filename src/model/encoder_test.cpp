#include "model/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/golden_file.h"
#include "model/load.h"
#include "model/tiny_model.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

std::shared_ptr<const formats::GgufFile> open(const std::string& name) {
  auto file = formats::GgufFile::open(testdata_path(name + ".gguf"));
  EXPECT_TRUE(file.has_value()) << file.error().message;
  return std::make_shared<const formats::GgufFile>(std::move(*file));
}

class EncoderTest : public testing::Test {
 protected:
  std::unique_ptr<Encoder> load(const std::string& name) {
    auto encoder = load_encoder(open(name), *ops_);
    EXPECT_TRUE(encoder.has_value()) << encoder.error().message;
    return std::move(*encoder);
  }
  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 1});
};

float largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) largest = std::max(largest, std::fabs(a[i] - b[i]));
  return largest;
}

// What Hugging Face transformers computed in float32: see tools/golden/make_encoders.py.
TEST_F(EncoderTest, EmbeddingsEqualTransformers) {
  for (const char* name : {"bert", "nomic-bert", "qwen3-embedding"}) {
    const auto expected = read_golden(name);
    const auto encoder = load(name);
    const auto vector = encoder->embed(expected.tokens);
    ASSERT_TRUE(vector.has_value()) << name << ": " << vector.error().message;
    EXPECT_LT(largest_difference(*vector, expected.values), 1e-5f) << name;
    // Again, and after a shorter text.
    ASSERT_TRUE(encoder->embed(std::span(expected.tokens).first(3)).has_value());
    EXPECT_EQ(*encoder->embed(expected.tokens), *vector) << name;
    EXPECT_FALSE(encoder->rank(expected.tokens).has_value());
  }
}

TEST_F(EncoderTest, ScoresEqualTransformers) {
  const auto expected = read_golden("bert-rank");
  const auto encoder = load("bert-rank");
  const auto score = encoder->rank(expected.tokens);
  ASSERT_TRUE(score.has_value()) << score.error().message;
  EXPECT_NEAR(*score, expected.values[0], 1e-4f);
  EXPECT_EQ(encoder->embed(expected.tokens).error().code, ErrorCode::kUnsupported);
}

TEST_F(EncoderTest, RefusesWhatItCannotRead) {
  const auto encoder = load("bert");
  EXPECT_EQ(encoder->embed({}).error().code, ErrorCode::kInvalidArgument);
  for (const int32_t wrong : {-1, encoder->model().n_vocab}) {
    const TokenId token(wrong);
    EXPECT_EQ(encoder->embed({&token, 1}).error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(encoder->max_tokens(), 256);
  EXPECT_EQ(encoder->embed(std::vector<TokenId>(257, TokenId(3))).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(encoder->embed(std::vector<TokenId>(256, TokenId(3))).has_value());
}

TEST_F(EncoderTest, AnyTextModelGivesVectorsButEncodersNoText) {
  auto llama = load_encoder(TinyModel().file(), *ops_);
  ASSERT_TRUE(llama.has_value()) << llama.error().message;
  const std::vector<TokenId> tokens = {TokenId(5), TokenId(9)};
  EXPECT_TRUE((*llama)->embed(tokens).has_value());
  const auto stage = load_stage(open("bert"), {.layers = {LayerIndex(0), LayerIndex(3)}, .n_blocks = 4}, *ops_);
  EXPECT_EQ(stage.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace exo::model
