#include "model/stage.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "model/golden_file.h"
#include "model/load.h"
#include "model/reference_run.h"
#include "model/tiny_model.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

std::vector<TokenId> tokens_of(std::initializer_list<int32_t> ids) {
  std::vector<TokenId> tokens;
  for (const int32_t id : ids) tokens.emplace_back(id);
  return tokens;
}

float largest_difference(std::span<const float> a, std::span<const float> b) {
  EXPECT_EQ(a.size(), b.size());
  float most = 0.0f;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const float difference = std::abs(a[i] - b[i]);
    if (!(difference <= most)) most = difference;  // keeps a NaN
  }
  return most;
}

class StageRun : public testing::Test {
 protected:
  ReferenceRun run(const std::shared_ptr<const formats::GgufFile>& file, std::span<const TokenId> tokens,
                   ReferenceRunOptions options) {
    auto result = run_logits(file, tokens, options, *ops_);
    EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message);
    return result ? std::move(*result) : ReferenceRun{};
  }

  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 2});
  const std::vector<TokenId> prompt_ = tokens_of({3, 17, 9, 40, 40, 2, 31, 0, 47, 11, 5, 6, 7, 22, 23, 24, 1});
};

TEST_F(StageRun, SplittingOverStagesChangesNoBit) {
  const auto file = TinyModel().file();
  const auto whole = run(file, prompt_, {.n_greedy = 12});
  for (const int32_t stages : {2, 3, 4}) {
    const auto split = run(file, prompt_, {.n_greedy = 12, .n_stages = stages});
    EXPECT_EQ(split.logits, whole.logits) << stages;
    EXPECT_EQ(split.greedy, whole.greedy) << stages;
  }
}

TEST_F(StageRun, PromptInPiecesEqualsPromptAtOnce) {
  const auto file = TinyModel().file();
  const auto whole = run(file, prompt_, {.n_greedy = 8});
  for (const int32_t chunk : {1, 3, 16}) {
    const auto pieces = run(file, prompt_, {.n_greedy = 8, .chunk_tokens = chunk});
    EXPECT_LT(largest_difference(pieces.logits, whole.logits), 1e-4f) << chunk;
    EXPECT_EQ(pieces.greedy, whole.greedy) << chunk;
  }
}

TEST_F(StageRun, LogitsDependOnTheOrderOfTheirContext) {
  const auto file = TinyModel().file();
  const auto a = run(file, tokens_of({5, 9, 13}), {}), b = run(file, tokens_of({9, 5, 13}), {});
  const std::span<const float> last_a = std::span(a.logits).last(48), last_b = std::span(b.logits).last(48);
  EXPECT_GT(largest_difference(last_a, last_b), 1e-2f);
}

// What one stage has computed, another goes on with, layer by layer and block by block: no bit differs.
TEST_F(StageRun, ACacheThatIsCarriedOverIsAsGoodAsOneThatWasComputed) {
  const auto file = TinyModel().file();
  const auto info = read_model_info(*file);
  ASSERT_TRUE(info);
  for (const ElementType type : {ElementType::kF16, ElementType::kF32}) {
    StageConfig config{.layers = {LayerIndex(0), LayerIndex(info->n_layers)}, .block_positions = 4, .n_blocks = 6};
    config.kv_type = type;
    auto from = load_stage(file, config, *ops_, {}), to = load_stage(file, config, *ops_, {});
    ASSERT_TRUE(from && to);
    const std::vector<BlockId> there{BlockId(5), BlockId(2), BlockId(0)}, here{BlockId(1), BlockId(3), BlockId(4)};
    const auto next = [&](Stage& stage, const std::vector<BlockId>& table, int32_t first, int32_t n) {
      const StepSequence sequence{Position(first), n, table, true, 0, 0};
      const auto logits = stage.forward(
          {{&sequence, 1}, std::span(prompt_).subspan(static_cast<size_t>(first), static_cast<size_t>(n))});
      EXPECT_TRUE(logits);
      return logits ? std::vector(logits->begin(), logits->end()) : std::vector<float>();
    };
    next(**from, there, 0, 8);
    for (LayerIndex layer = config.layers.begin; layer < config.layers.end; ++layer) {
      const LayerRange one{layer, LayerIndex(layer.value + 1)};
      std::vector<std::byte> bytes(2 * (*from)->cache_block_bytes(layer));
      ASSERT_TRUE((*from)->read_cache(one, std::span(there).first(2), bytes));
      ASSERT_TRUE((*to)->write_cache(one, std::span(here).first(2), bytes));
    }
    EXPECT_EQ(next(**to, here, 8, 3), next(**from, there, 8, 3));

    std::vector<std::byte> bytes((*from)->cache_block_bytes(LayerIndex(0)));
    const LayerRange first{LayerIndex(0), LayerIndex(1)};
    const BlockId last(5), none(6);
    EXPECT_TRUE((*from)->read_cache(first, {&last, 1}, bytes));
    EXPECT_FALSE((*from)->read_cache(first, {&none, 1}, bytes));
    EXPECT_FALSE((*from)->read_cache({LayerIndex(0), LayerIndex(info->n_layers + 1)}, {&last, 1}, bytes));
    EXPECT_FALSE((*from)->read_cache({LayerIndex(1), LayerIndex(1)}, {}, {}));
    bytes.push_back({});
    EXPECT_FALSE((*from)->read_cache(first, {&last, 1}, bytes));
    EXPECT_FALSE((*to)->write_cache(first, {&last, 1}, bytes));
  }
}

// Logits that Hugging Face transformers computed in float32: see tools/golden.
class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, EqualsTransformers) {
  const auto [tokens, n_vocab, expected] = read_golden(GetParam());
  ASSERT_EQ(expected.size(), tokens.size() * n_vocab);

  auto opened = formats::GgufFile::open(testdata_path(std::string(GetParam()) + ".gguf"));
  ASSERT_TRUE(opened.has_value()) << opened.error().message;
  const auto file = std::make_shared<const formats::GgufFile>(std::move(*opened));
  const auto ops = ops::make_cpu_ops({.threads = 1});
  const auto whole = run_logits(file, tokens, {.n_greedy = 6}, *ops);
  ASSERT_TRUE(whole.has_value()) << whole.error().message;
  EXPECT_LT(largest_difference(whole->logits, expected), 2e-4f);
  for (const int32_t stages : {2, 3}) {
    const auto split = run_logits(file, tokens, {.n_greedy = 6, .n_stages = stages}, *ops);
    ASSERT_TRUE(split.has_value()) << split.error().message;
    EXPECT_EQ(split->logits, whole->logits) << stages << " stages";
    EXPECT_EQ(split->greedy, whole->greedy) << stages << " stages";
  }
  const auto pieces = run_logits(file, tokens, {.n_greedy = 6, .chunk_tokens = 7}, *ops);
  ASSERT_TRUE(pieces.has_value()) << pieces.error().message;
  EXPECT_EQ(pieces->logits, whole->logits);
  EXPECT_EQ(pieces->greedy, whole->greedy);
}

INSTANTIATE_TEST_SUITE_P(Families, Golden,
                         testing::Values("arcee", "cohere", "cohere2", "deepseek-v2", "deepseek-v3", "dots1",
                                         "ernie4.5", "ernie4.5-moe", "falcon", "falcon-mqa", "gemma", "gemma2",
                                         "gemma3", "glm4", "glm4moe", "gpt-oss", "gptneox", "granite", "granitemoe",
                                         "granitemoe-shared", "hunyuan-dense", "hunyuan-moe", "llama", "llama4",
                                         "minimax-m2", "ministral3", "mistral", "mixtral", "nemotron", "olmo",
                                         "olmo2", "olmoe", "phi2", "phi3", "phimoe", "qwen2", "qwen2moe", "qwen3",
                                         "qwen35", "qwen35moe", "qwen3moe", "qwen3next", "qwen3next-together",
                                         "smollm3", "stablelm", "stablelm-parallel", "starcoder2"),
                         [](const auto& test) {
                           std::string name(test.param);
                           std::ranges::replace_if(
                               name, [](char c) { return c == '-' || c == '.'; }, '_');
                           return name;
                         });

// Steps as a scheduler or a peer would send them.
class StageSteps : public testing::Test {
 protected:
  std::unique_ptr<Stage> load(int32_t begin, int32_t end) {
    const StageConfig config{.layers = {LayerIndex(begin), LayerIndex(end)},
                             .max_batch_rows = 8,
                             .block_positions = 4,
                             .n_blocks = 6,
                             .kv_type = ElementType::kF32};
    auto stage = load_stage(TinyModel().file(), config, *ops_);
    EXPECT_TRUE(stage.has_value());
    return std::move(*stage);
  }
  static StepSequence sequence(int32_t first, int32_t n, std::span<const BlockId> table, bool wants_logits = true) {
    return {.first = Position(first), .n_tokens = n, .block_table = table, .wants_logits = wants_logits};
  }
  void expect_refused(Stage& stage, const StepInput& input, std::string_view part_of_message) {
    const auto out = stage.forward(input);
    ASSERT_FALSE(out.has_value()) << "accepted, expected: " << part_of_message;
    EXPECT_EQ(out.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(out.error().message.find(part_of_message), std::string::npos) << out.error().message;
  }

  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 1});
  const std::vector<BlockId> table_ = {BlockId(4), BlockId(1)}, other_table_ = {BlockId(0), BlockId(5)};
};

TEST_F(StageSteps, SequencesOfOneStepDoNotSeeEachOther) {
  const auto tokens = tokens_of({5, 6, 7, 5, 9});
  const auto alone = load(0, 4);
  const StepSequence first[] = {sequence(0, 3, table_)}, second[] = {sequence(0, 2, table_)};
  const auto out_a = *alone->forward({.sequences = first, .tokens = std::span(tokens).first(3)});
  const std::vector<float> a(out_a.begin(), out_a.end());
  const auto out_b = *alone->forward({.sequences = second, .tokens = std::span(tokens).last(2)});
  const std::vector<float> b(out_b.begin(), out_b.end());

  const auto together = load(0, 4);
  const StepSequence both[] = {sequence(0, 3, table_), sequence(0, 2, other_table_)};
  const auto out = *together->forward({.sequences = both, .tokens = tokens});
  ASSERT_EQ(out.size(), 2u * 48);
  EXPECT_LT(largest_difference(out.first(48), a), 1e-4f);
  EXPECT_LT(largest_difference(out.last(48), b), 1e-4f);
}

TEST_F(StageSteps, LogitsOnlyForThoseWhoWantThem) {
  const auto stage = load(0, 4);
  const auto tokens = tokens_of({5, 6, 7});
  const StepSequence sequences[] = {sequence(0, 2, table_, false), sequence(0, 1, other_table_, true)};
  EXPECT_EQ(stage->forward({.sequences = sequences, .tokens = tokens})->size(), 48u);
  EXPECT_EQ(stage->forward_all_logits({.sequences = sequences, .tokens = tokens})->size(), 3u * 48);
  const StepSequence nobody[] = {sequence(0, 3, table_, false)};
  EXPECT_EQ(stage->forward({.sequences = nobody, .tokens = tokens})->size(), 0u);
}

TEST_F(StageSteps, HostileStepsAreRefused) {
  const auto stage = load(0, 4);
  const auto tokens = tokens_of({5, 6});
  const auto refuse = [&](StepSequence s, std::string_view why) {
    expect_refused(*stage, {.sequences = {&s, 1}, .tokens = tokens}, why);
  };
  expect_refused(*stage, {.tokens = tokens}, "without sequences");
  refuse(sequence(-1, 2, table_), "position -1");
  refuse(sequence(0, 0, table_), "0 tokens");
  refuse(sequence(0, -2, table_), "-2 tokens");
  refuse(sequence(INT32_MAX, 2, table_), "position");
  refuse(sequence(7, 2, table_), "block table");
  refuse(sequence(0, 9, table_), "more than 8 rows");
  refuse(sequence(0, INT32_MAX, table_), "rows");
  refuse(sequence(0, 3, table_), "2 tokens and 0 activations for 3 rows");
  const std::vector<BlockId> foreign = {BlockId(6)};
  refuse(sequence(0, 2, foreign), "cache block 6 of 6");
  const StepSequence good = sequence(0, 2, table_);
  for (const int32_t bad : {-1, 48, INT32_MAX}) {
    const auto bad_tokens = tokens_of({5, bad});
    expect_refused(*stage, {.sequences = {&good, 1}, .tokens = bad_tokens}, "outside the vocabulary");
  }
  const std::vector<float> activations(2 * 32);
  expect_refused(*stage, {.sequences = {&good, 1}, .tokens = tokens, .activations = activations}, "activations");
  EXPECT_TRUE(stage->forward({.sequences = {&good, 1}, .tokens = tokens}).has_value());
}

TEST_F(StageSteps, ALaterStageTakesActivationsOnly) {
  const auto stage = load(1, 3);
  const auto tokens = tokens_of({5, 6});
  const StepSequence good = sequence(0, 2, table_);
  std::vector<float> activations(2 * 32, 0.5f);
  EXPECT_EQ(stage->forward({.sequences = {&good, 1}, .activations = activations})->size(), 64u);
  expect_refused(*stage, {.sequences = {&good, 1}, .tokens = tokens}, "activations");
  activations.pop_back();
  expect_refused(*stage, {.sequences = {&good, 1}, .activations = activations}, "63 activations");
  EXPECT_FALSE(stage->forward_all_logits({.sequences = {&good, 1}, .activations = activations}).has_value());
}

}  // namespace
}  // namespace exo::model
