#include "model/synthesize.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <utility>

#include "formats/gguf.h"
#include "model/load.h"
#include "model/random_blocks.h"
#include "model/reference_run.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

class Synthesize : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / fmt::format("exo-synth-{}", ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string bytes_of(const char* name) {
    std::ifstream in(folder_ / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  std::filesystem::path folder_;
  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 1});
};

TEST_F(Synthesize, EveryTypeLoadsAndRuns) {
  for (const char* type : {"F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"}) {
    const SynthOptions options{.shape = "tiny", .n_layers = 2, .type = find_element_type(type)->type};
    ASSERT_TRUE(synthesize(options, folder_ / "m.gguf").has_value()) << type;
    EXPECT_EQ(std::filesystem::file_size(folder_ / "m.gguf"), *synthesized_bytes(options));
    auto opened = formats::GgufFile::open(folder_ / "m.gguf");
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    const auto file = std::make_shared<const formats::GgufFile>(std::move(*opened));
    EXPECT_EQ(read_model_info(*file)->weight_type, type);
    const std::vector<TokenId> tokens = {TokenId(1), TokenId(300), TokenId(511)};
    const auto run = run_logits(file, tokens, {.n_greedy = 2}, *ops_);
    ASSERT_TRUE(run.has_value()) << run.error().message;
    double squares = 0.0;
    for (const float logit : run->logits) squares += double{logit} * logit;
    const double deviation = std::sqrt(squares / static_cast<double>(run->logits.size()));
    EXPECT_NEAR(deviation, 1.0, 0.35) << type;  // unit rows times weights of deviation 1/sqrt(d)
  }
}

TEST_F(Synthesize, AMixtureOfExpertsRuns) {
  for (const auto& [shape, type] : {std::pair{"tiny-moe", "Q4_0"},
                                    {"tiny-moe", "Q4_K"},
                                    {"tiny-moe", "F16"},
                                    {"tiny-latent", "Q4_0"},
                                    {"tiny-latent", "Q4_K"}}) {
    SCOPED_TRACE(fmt::format("{} {}", shape, type));
    const SynthOptions options{.shape = shape, .n_layers = 3, .type = find_element_type(type)->type};
    ASSERT_TRUE(synthesize(options, folder_ / "m.gguf").has_value());
    auto opened = formats::GgufFile::open(folder_ / "m.gguf");
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    const auto file = std::make_shared<const formats::GgufFile>(std::move(*opened));
    std::vector<TokenId> tokens;
    for (int32_t i = 1; i <= 40; ++i) tokens.emplace_back(i * 7);
    const auto run = run_logits(file, tokens, {.n_greedy = 4}, *ops_);
    ASSERT_TRUE(run.has_value()) << run.error().message;
    const auto split = run_logits(file, tokens, {.n_greedy = 4, .n_stages = 3, .chunk_tokens = 9}, *ops_);
    ASSERT_TRUE(split.has_value()) << split.error().message;
    EXPECT_EQ(split->logits, run->logits);
    EXPECT_EQ(split->greedy, run->greedy);
  }
}

TEST_F(Synthesize, WeightsHaveTheDeviationAskedFor) {
  for (const char* name : {"F32", "F16", "BF16", "Q4_0", "Q8_0", "Q4_K", "Q6_K"}) {
    const auto type = find_element_type(name)->type;
    constexpr int64_t kElements = 256 * 64;
    std::vector<std::byte> bytes(*row_bytes(type, kElements));
    fill_random(type, 0.03, 5, bytes);
    const auto weight = ops_->load({.type = type, .rows = 1, .cols = kElements, .bytes = bytes});
    ASSERT_TRUE(weight.has_value());
    const auto out = *ops_->allocate(kElements * sizeof(float));
    auto* values = reinterpret_cast<float*>(out->data());
    const TokenId row(0);
    ops_->embed(*weight, {&row, 1}, {values, 1, kElements, kElements});
    double sum = 0.0, squares = 0.0;
    for (int64_t i = 0; i < kElements; ++i) {
      sum += values[i];
      squares += double{values[i]} * values[i];
    }
    const double deviation = std::sqrt(squares / kElements);
    EXPECT_GT(deviation, 0.015) << name;
    EXPECT_LT(deviation, 0.045) << name;
    EXPECT_LT(std::abs(sum / kElements), 0.002) << name;
  }
}

TEST_F(Synthesize, TheSeedDecidesTheBytes) {
  SynthOptions options{.shape = "tiny", .n_layers = 1};
  ASSERT_TRUE(synthesize(options, folder_ / "a").has_value());
  ASSERT_TRUE(synthesize(options, folder_ / "b").has_value());
  options.seed = 2;
  ASSERT_TRUE(synthesize(options, folder_ / "c").has_value());
  EXPECT_EQ(bytes_of("a"), bytes_of("b"));
  EXPECT_NE(bytes_of("a"), bytes_of("c"));
}

TEST_F(Synthesize, KnownShapesHaveTheirTrueSizes) {
  // 1.236, 8.03, 70.6, 405.9, 46.7, 30.5 and 15.7 thousand million parameters.
  const auto gigabytes = [](const char* shape) {
    return static_cast<double>(*synthesized_bytes({.shape = shape, .type = ElementType::kF16})) / 2e9;
  };
  EXPECT_NEAR(gigabytes("llama-3.2-1b"), 1.236, 0.01);
  EXPECT_NEAR(gigabytes("llama-3-8b"), 8.03, 0.01);
  EXPECT_NEAR(gigabytes("llama-3.1-70b"), 70.55, 0.1);
  EXPECT_NEAR(gigabytes("llama-3.1-405b"), 405.85, 0.3);
  EXPECT_NEAR(gigabytes("mixtral-8x7b"), 46.7, 0.1);
  EXPECT_NEAR(gigabytes("qwen3-30b-a3b"), 30.53, 0.1);
  EXPECT_NEAR(gigabytes("deepseek-v2-lite"), 15.71, 0.1);
}

TEST_F(Synthesize, WrongOptionsAreRefused) {
  EXPECT_EQ(synthesized_bytes({.shape = "gpt-9"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(synthesized_bytes({.n_layers = -1}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(synthesized_bytes({.type = ElementType::kQ5_1}).error().code, ErrorCode::kInvalidArgument);
  const auto cancelled =
      synthesize({.shape = "tiny"}, folder_ / "m.gguf", [](uint64_t, uint64_t) { return false; });
  EXPECT_EQ(cancelled.error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_FALSE(synthesize({.shape = "tiny"}, folder_ / "absent" / "m.gguf").has_value());
}

}  // namespace
}  // namespace exo::model
