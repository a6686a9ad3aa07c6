// Stages whose model keeps a state of each sequence, told by slots: steps as a scheduler or a peer would send them.

#include "model/recurrent_state.h"

#include <gtest/gtest.h>

#include "model/load.h"
#include "model/reference_run.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

std::shared_ptr<const formats::GgufFile> open_model(const std::string& name) {
  auto opened = formats::GgufFile::open(std::string(EXO_SOURCE_DIR) + "/src/model/testdata/" + name + ".gguf");
  EXPECT_TRUE(opened.has_value());
  return opened ? std::make_shared<const formats::GgufFile>(std::move(*opened)) : nullptr;
}

std::vector<TokenId> some_tokens(int32_t count, int32_t seed) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.emplace_back(3 + (i * 7 + seed * 13 + i * i) % 60);
  return tokens;
}

struct Piece {
  int32_t slot, first;
  std::span<const TokenId> tokens;
  int32_t n_draft = 0;
};

class RecurrentStages : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    file_ = open_model(GetParam());
    for (const auto& [begin, end] : {std::pair{0, 2}, std::pair{2, 4}}) {
      const StageConfig config{.layers = {LayerIndex(begin), LayerIndex(end)},
                               .max_batch_rows = 24,
                               .block_positions = 4,
                               .n_blocks = 16,
                               .kv_type = ElementType::kF32,
                               .max_slots = 2};
      auto stage = load_stage(file_, config, *ops_);
      ASSERT_TRUE(stage.has_value()) << stage.error().message;
      stages_.push_back(std::move(*stage));
    }
  }

  // Logits of the pieces' last rows. Each slot has half of the cache's blocks.
  Result<std::vector<float>> run(const std::vector<Piece>& pieces) {
    std::vector<StepSequence> sequences;
    std::vector<TokenId> tokens;
    for (const auto& piece : pieces) {
      sequences.push_back({.first = Position(piece.first),
                           .n_tokens = static_cast<int32_t>(piece.tokens.size()),
                           .block_table = piece.slot == 0 ? even_ : odd_,
                           .wants_logits = true,
                           .n_draft = piece.n_draft,
                           .slot = piece.slot});
      tokens.insert(tokens.end(), piece.tokens.begin(), piece.tokens.end());
    }
    EXO_TRY(const auto middle, stages_[0]->forward({.sequences = sequences, .tokens = tokens}));
    const std::vector<float> activations(middle.begin(), middle.end());
    EXO_TRY(const auto logits, stages_[1]->forward({.sequences = sequences, .activations = activations}));
    return std::vector<float>(logits.begin(), logits.end());
  }
  void expect_refused(const std::vector<Piece>& pieces, std::string_view part_of_message) {
    const auto result = run(pieces);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(result.error().message.find(part_of_message), std::string::npos) << result.error().message;
  }
  std::vector<float> undisturbed(const std::vector<TokenId>& tokens) {
    const auto run = run_logits(file_, tokens, {}, *ops_);
    EXPECT_TRUE(run.has_value());
    const auto last = std::span(run->logits).last(run->logits.size() / tokens.size());
    return {last.begin(), last.end()};
  }

  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 2});
  std::shared_ptr<const formats::GgufFile> file_;
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<BlockId> even_ = {BlockId(0), BlockId(2), BlockId(4), BlockId(6), BlockId(8), BlockId(10)};
  std::vector<BlockId> odd_ = {BlockId(1), BlockId(3), BlockId(5), BlockId(7), BlockId(9), BlockId(11)};
};
INSTANTIATE_TEST_SUITE_P(Families, RecurrentStages, testing::Values("qwen3next", "qwen35"));

TEST_P(RecurrentStages, InterleavedAndResumedSequencesAnswerAsUndisturbed) {
  const auto a = some_tokens(17, 1), b = some_tokens(14, 2);
  const std::span tokens_a(a), tokens_b(b);
  const auto expected_a = undisturbed(a), expected_b = undisturbed(b);
  auto both = expected_a;
  both.insert(both.end(), expected_b.begin(), expected_b.end());

  ASSERT_TRUE(run({{0, 0, tokens_a.first(2)}}));
  ASSERT_TRUE(run({{1, 0, tokens_b.first(9)}, {0, 2, tokens_a.subspan(2, 10)}}));
  ASSERT_TRUE(run({{0, 12, tokens_a.subspan(12, 4)}, {1, 9, tokens_b.subspan(9, 1)}}));
  ASSERT_TRUE(run({{1, 10, tokens_b.subspan(10, 3)}}));
  EXPECT_EQ(run({{0, 16, tokens_a.last(1)}, {1, 13, tokens_b.last(1)}}).value(), both);

  // Preempted: each takes up again from the beginning, in the other's slot.
  ASSERT_TRUE(run({{1, 0, tokens_a.first(11)}}));
  EXPECT_EQ(run({{0, 0, tokens_b}}).value(), expected_b);
  EXPECT_EQ(run({{1, 11, tokens_a.subspan(11)}}).value(), expected_a);
}

TEST_P(RecurrentStages, WhatDoesNotContinueAStateIsRefused) {
  const auto a = some_tokens(12, 3);
  const std::span tokens(a);
  expect_refused({{0, 4, tokens.first(2)}}, "slot 0 continues at position 4");
  ASSERT_TRUE(run({{0, 0, tokens.first(6)}}));
  expect_refused({{0, 5, tokens.first(2)}}, "the 6 before");
  expect_refused({{0, 7, tokens.first(2)}}, "slot 0 continues at position 7");
  expect_refused({{1, 6, tokens.first(2)}}, "slot 1 continues");
  expect_refused({{2, 0, tokens.first(2)}}, "slot 2 of 2");
  expect_refused({{-1, 0, tokens.first(2)}}, "slot -1 of 2");
  expect_refused({{0, 6, tokens.first(2)}, {0, 8, tokens.first(2)}}, "twice");
  expect_refused({{0, 6, tokens.first(2), 1}}, "drafts");
  // Nothing of that has changed the state.
  EXPECT_EQ(run({{0, 6, tokens.subspan(6)}}).value(), undisturbed(a));
}

TEST_P(RecurrentStages, InfoAndStageCountTheStates) {
  const auto info = read_model_info(*file_);
  ASSERT_TRUE(info.has_value());
  ASSERT_EQ(info->state_bytes.size(), 4u);
  EXPECT_GT(info->state_bytes[0], 0u);
  EXPECT_EQ(info->kv_bytes_per_position[0], 0u);
  EXPECT_EQ(info->state_bytes[3], 0u);
  EXPECT_GT(info->kv_bytes_per_position[3], 0u);
  EXPECT_EQ(stages_[0]->kv_bytes(), 2 * (info->state_bytes[0] + info->state_bytes[1]));
}

}  // namespace
}  // namespace exo::model
