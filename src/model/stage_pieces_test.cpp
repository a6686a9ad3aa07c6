// Which bytes of a model's tensors a member of a group reads.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "model/load.h"
#include "model/tiny_model.h"

namespace exo::model {
namespace {

using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;

std::map<std::string, Ranges> ranges_of(const formats::GgufFile& file, LayerRange layers,
                                        const TensorShare& share) {
  std::map<std::string, Ranges> out;
  const auto pieces = stage_pieces(file, layers, share);
  EXPECT_TRUE(pieces.has_value()) << pieces.error().message;
  for (const auto& piece : *pieces) out[piece.tensor->name].emplace_back(piece.begin, piece.end);
  return out;
}

TensorShare half(int32_t member) { return *TensorShare::make({32768, 32768}, member); }

uint64_t total(const std::map<std::string, Ranges>& ranges) {
  uint64_t sum = 0;
  for (const auto& [name, list] : ranges)
    for (const auto& [begin, end] : list) sum += end - begin;
  return sum;
}

// What members of halves read is together each byte of the stage, and what both read is `both` bytes.
void expect_halves(const formats::GgufFile& file, LayerRange layers, uint64_t both) {
  auto one = ranges_of(file, layers, half(0)), two = ranges_of(file, layers, half(1));
  const auto whole = ranges_of(file, layers, {});
  EXPECT_EQ(one.size(), whole.size());
  uint64_t covered = 0;
  for (const auto& [name, all] : whole) {
    std::vector<int> readers(all[0].second);
    for (const auto& [begin, end] : one[name])
      std::fill(readers.begin() + long(begin), readers.begin() + long(end), 1);
    for (const auto& [begin, end] : two[name])
      for (uint64_t i = begin; i < end; ++i) ++readers[i];
    EXPECT_EQ(std::ranges::count(readers, 0), 0) << name;
    covered += readers.size();
  }
  EXPECT_EQ(total(one) + total(two) - covered, both);
}

constexpr LayerRange kAll{LayerIndex(0), LayerIndex(4)};

TEST(StagePieces, RowsOfDenseBlocks) {
  const auto file = TinyModel().file();  // F32; 4 heads of 8 over 2; 32 wide, 64 hidden, 48 tokens
  const auto ranges = ranges_of(*file, kAll, half(1));
  const uint64_t row = 32 * 4, wide_row = 64 * 4;
  EXPECT_EQ(ranges.at("blk.2.attn_q.weight"), (Ranges{{16 * row, 32 * row}}));
  EXPECT_EQ(ranges.at("blk.2.attn_k.weight"), (Ranges{{8 * row, 16 * row}}));
  EXPECT_EQ(ranges.at("blk.2.attn_output.weight"), (Ranges{{16 * row, 32 * row}}));
  EXPECT_EQ(ranges.at("blk.2.ffn_gate.weight"), (Ranges{{32 * row, 64 * row}}));
  EXPECT_EQ(ranges.at("blk.2.ffn_down.weight"), (Ranges{{16 * wide_row, 32 * wide_row}}));
  EXPECT_EQ(ranges.at("blk.2.ffn_norm.weight"), (Ranges{{0, row}})) << "every member keeps norms";
  EXPECT_EQ(ranges.at("token_embd.weight"), (Ranges{{0, 48 * row}})) << "and the embedding";
  EXPECT_EQ(ranges.at("output.weight"), (Ranges{{24 * row, 48 * row}}));
  expect_halves(*file, kAll, 48 * row + 9 * row);
}

TEST(StagePieces, AStageOfTheMiddleReadsItsBlocksOnly) {
  const auto file = TinyModel().file();
  const auto ranges = ranges_of(*file, {LayerIndex(1), LayerIndex(3)}, half(0));
  EXPECT_EQ(ranges.size(), 2 * 9u);
  EXPECT_FALSE(ranges.contains("token_embd.weight"));
  expect_halves(*file, {LayerIndex(1), LayerIndex(3)}, 4 * 32 * 4);
}

TEST(StagePieces, RowsOfATiedHeadAreThoseOfTheEmbedding) {
  TinyModel model;
  model.remove("output.weight");
  const auto file = model.file();
  EXPECT_EQ(ranges_of(*file, kAll, half(1)).at("token_embd.weight"), (Ranges{{0, 48 * 32 * 4}}));
  const LayerRange end{LayerIndex(2), LayerIndex(4)};
  EXPECT_EQ(ranges_of(*file, end, half(1)).at("token_embd.weight"), (Ranges{{24 * 32 * 4, 48 * 32 * 4}}));
}

TEST(StagePieces, RowsOfEveryExpertAndTheWholeRouter) {
  TinyModel model;
  model.add_experts(3);  // 32 wide inside
  const auto file = model.file();
  const auto ranges = ranges_of(*file, kAll, half(0));
  const uint64_t row = 32 * 4, expert = 32 * row;
  const Ranges first_halves{{0, 16 * row}, {expert, expert + 16 * row}, {2 * expert, 2 * expert + 16 * row}};
  EXPECT_EQ(ranges.at("blk.0.ffn_gate_exps.weight"), first_halves);
  EXPECT_EQ(ranges.at("blk.3.ffn_up_exps.weight"), first_halves);
  EXPECT_EQ(ranges.at("blk.3.ffn_down_exps.weight"), first_halves);
  EXPECT_EQ(ranges.at("blk.3.ffn_gate_inp.weight"), (Ranges{{0, 3 * row}}));
  expect_halves(*file, kAll, 48 * row + 9 * row + 4 * 3 * row);
}

TEST(StagePieces, LatentAttentionKeepsTheCommonVectorWhole) {
  const auto folder = std::filesystem::path(EXO_SOURCE_DIR) / "src/model/testdata";
  const auto file = formats::GgufFile::open(folder / "deepseek-v3.gguf");
  ASSERT_TRUE(file.has_value());
  const auto info = read_model_info(*file);
  const LayerRange layers{LayerIndex(0), LayerIndex(info->n_layers)};
  auto one = ranges_of(*file, layers, half(0)), two = ranges_of(*file, layers, half(1));
  const auto bytes = [&](const char* name) { return file->find_tensor(name)->bytes(); };
  for (const char* name : {"blk.0.attn_q_a.weight", "blk.0.attn_kv_a_mqa.weight", "blk.0.attn_kv_a_norm.weight"}) {
    EXPECT_EQ(one.at(name), (Ranges{{0, bytes(name)}})) << name;
    EXPECT_EQ(two.at(name), (Ranges{{0, bytes(name)}})) << name;
  }
  for (const char* name : {"blk.0.attn_q_b.weight", "blk.0.attn_k_b.weight", "blk.0.attn_v_b.weight"}) {
    EXPECT_EQ(one.at(name).back().second, bytes(name) / 2) << name;
    EXPECT_EQ(two.at(name).front().first, bytes(name) / 2) << name;
  }
  EXPECT_LT(total(one), total(ranges_of(*file, layers, {})));
}

TEST(StagePieces, WhatLoadingRefusesIsRefusedBeforeAnythingIsFetched) {
  const auto file = TinyModel().file();
  const auto share = *TensorShare::make({30000, 30000, 5536}, 2);
  EXPECT_EQ(stage_pieces(*file, kAll, share).error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(stage_pieces(*file, {LayerIndex(2), LayerIndex(5)}, {}).error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace exo::model
