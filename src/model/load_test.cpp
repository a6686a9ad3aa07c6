#include "model/load.h"

#include <gtest/gtest.h>

#include "model/stage_tensors.h"
#include "model/tiny_model.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

StageConfig config_of(int32_t begin, int32_t end) {
  return {.layers = {LayerIndex(begin), LayerIndex(end)},
          .max_batch_rows = 16,
          .block_positions = 8,
          .n_blocks = 4,
          .kv_type = ElementType::kF32};
}

class Load : public testing::Test {
 protected:
  Result<std::unique_ptr<Stage>> load(const TinyModel& model, StageConfig config = config_of(0, 4),
                                      const LoadProgress& progress = {}) {
    return load_stage(model.file(), config, *ops_, progress);
  }
  void expect_refused(const TinyModel& model, ErrorCode code, std::string_view part_of_message,
                      StageConfig config = config_of(0, 4)) {
    const auto stage = load(model, config);
    ASSERT_FALSE(stage.has_value()) << "loaded, expected: " << part_of_message;
    EXPECT_EQ(stage.error().code, code) << stage.error().message;
    EXPECT_NE(stage.error().message.find(part_of_message), std::string::npos) << stage.error().message;
  }

  std::unique_ptr<ops::Ops> ops_ = ops::make_cpu_ops({.threads = 1});
};

TEST_F(Load, InfoCountsEveryByteOnce) {
  const TinyModel model;
  const auto file = model.file();
  const auto info = read_model_info(*file);
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->architecture, "llama");
  EXPECT_EQ(info->n_layers, 4);
  EXPECT_EQ(info->d_model, 32);
  EXPECT_EQ(info->n_vocab, 48);
  EXPECT_EQ(info->context_length, 256);
  EXPECT_EQ(info->weight_type, "F32");
  uint64_t all = info->embedding_bytes + info->head_bytes, stored = 0;
  for (const auto bytes : info->layer_bytes) all += bytes;
  for (const auto& tensor : file->tensors()) stored += tensor.data.size();
  EXPECT_EQ(all, stored);
  EXPECT_EQ(info->n_parameters * 4, static_cast<int64_t>(stored));
  EXPECT_EQ(info->kv_bytes_per_position, std::vector<uint64_t>(4, 2 * 2 * 8 * 2));
  EXPECT_EQ(info->tensor_parallel_parts, 2);  // KV heads
  EXPECT_EQ(info->attention_width, 32);       // 4 query heads of 8
  EXPECT_EQ(info->feed_forward_width, 64);
  EXPECT_FALSE(info->exchanges_norms) << "a norm of less than 256 columns is not cut";
  EXPECT_TRUE(info->expert_bytes.empty());
}

TEST_F(Load, ATiedEmbeddingCountsForBothEnds) {
  TinyModel model;
  model.remove("output.weight");
  const auto file = model.file();
  const auto info = read_model_info(*file);
  EXPECT_EQ(info->embedding_bytes, 48u * 32 * 4);
  EXPECT_EQ(info->head_bytes, 48u * 32 * 4 + 32 * 4);
  const auto last = stage_tensors(*file, {LayerIndex(2), LayerIndex(4)}, 4);
  EXPECT_EQ(std::ranges::count(last, "token_embd.weight", [](const auto* t) { return t->name; }), 1);
}

TEST_F(Load, InfoSaysWhereGroupsExchangeNorms) {
  const auto exchanges_norms = [](uint32_t n_experts, uint32_t d_model) {
    TinyModel model(d_model);
    if (n_experts > 0) model.add_experts(n_experts);
    return read_model_info(*model.file())->exchanges_norms;
  };
  EXPECT_TRUE(exchanges_norms(0, 256));
  EXPECT_FALSE(exchanges_norms(0, 288));
  EXPECT_FALSE(exchanges_norms(6, 256));
}

TEST_F(Load, InfoCountsFormatsOfLayersExpertsAndHead) {
  TinyModel model;
  model.add_experts(6);
  for (int i = 0; i < 4; ++i) {
    for (const char* part : {"gate", "up", "down"}) {
      model.tensor(fmt::format("blk.{}.ffn_{}_exps.weight", i, part)).type = ElementType::kQ8_0;
    }
  }
  model.tensor("token_embd.weight").type = ElementType::kF16;
  // Of a block two norms, queries, keys, values, what follows them, the router; 34 bytes for 32 numbers of an
  // expert.
  const uint64_t plain = 4 * 4 * (2 * 32 + 2 * 32 * 32 + 2 * 32 * 16 + 6 * 32), experts = 4 * 3 * 6 * 32 * 34;
  const auto untied = read_model_info(*model.file());
  ASSERT_TRUE(untied.has_value()) << untied.error().message;
  EXPECT_EQ(untied->weight_type, "Q8_0");
  const std::vector<FormatBytes> expected{{ElementType::kF32, plain, 0, 4 * (32 + 48 * 32)},
                                          {ElementType::kQ8_0, experts, experts, 0}};
  EXPECT_EQ(untied->formats, expected);
  EXPECT_EQ(untied->feed_forward_width, 2 * 32);  // two experts of a token
  model.remove("output.weight");
  const auto tied = read_model_info(*model.file());
  ASSERT_TRUE(tied.has_value()) << tied.error().message;
  ASSERT_EQ(tied->formats.size(), 3u);
  EXPECT_EQ(tied->formats[1], (FormatBytes{ElementType::kF16, 0, 0, 48 * 32 * 2}));
}

TEST_F(Load, AStageReadsItsOwnTensorsOnly) {
  TinyModel model;
  model.tensor("blk.3.ffn_up.weight").shape = {7};  // wrong, but not in the stage
  uint64_t total = 0, done = 0;
  const auto stage = load(model, config_of(1, 3), [&](uint64_t d, uint64_t t) {
    EXPECT_GT(d, done);
    done = d;
    total = t;
    return true;
  });
  ASSERT_TRUE(stage.has_value()) << stage.error().message;
  const auto info = read_model_info(*model.file());
  EXPECT_EQ(total, info->layer_bytes[1] + info->layer_bytes[2]);
  EXPECT_EQ(done, total);
  EXPECT_EQ((*stage)->weight_bytes(), total);
  EXPECT_EQ((*stage)->kv_bytes(), 2u * 2 * 4 * 8 * 16 * 4);
}

TEST_F(Load, ProgressCancels) {
  const auto stage = load(TinyModel(), config_of(0, 4), [](uint64_t, uint64_t) { return false; });
  ASSERT_FALSE(stage.has_value());
  EXPECT_EQ(stage.error().code, ErrorCode::kCancelled);
}

TEST_F(Load, UnknownArchitecturesSayWhatIsKnown) {
  TinyModel model;
  model.architecture = "bert\n";
  expect_refused(model, ErrorCode::kUnsupported, "'bert?'");
  expect_refused(model, ErrorCode::kUnsupported, "llama, ");
}

TEST_F(Load, WrongTensorsAreNamed) {
  TinyModel wrong_shape;
  wrong_shape.tensor("blk.2.attn_k.weight").shape = {32, 32};
  expect_refused(wrong_shape, ErrorCode::kCorrupt, "'blk.2.attn_k.weight' has shape [32, 32], expected [32, 16]");
  TinyModel transposed;
  transposed.tensor("blk.1.ffn_down.weight").shape = {32, 64};
  expect_refused(transposed, ErrorCode::kCorrupt, "blk.1.ffn_down.weight");
  TinyModel short_norm;
  short_norm.tensor("output_norm.weight").shape = {31};
  expect_refused(short_norm, ErrorCode::kCorrupt, "output_norm.weight");
  TinyModel missing;
  missing.remove("blk.0.attn_v.weight");
  expect_refused(missing, ErrorCode::kNotFound, "blk.0.attn_v.weight");
  TinyModel headless;
  headless.remove("token_embd.weight");
  expect_refused(headless, ErrorCode::kNotFound, "token_embd.weight");
  TinyModel integers;
  integers.tensor("blk.0.attn_q.weight").type = ElementType::kI32;
  integers.tensor("blk.0.attn_q.weight").type = ElementType::kF32;
  integers.add("blk.1.attn_sub_norm", {32});
  expect_refused(integers, ErrorCode::kUnsupported, "blk.1.attn_sub_norm.weight");
  TinyModel outer;
  outer.add("token_types", {32, 2});
  expect_refused(outer, ErrorCode::kUnsupported, "token_types.weight");
}

TEST_F(Load, WrongNumbersAreNamed) {
  TinyModel heads;
  heads.n_kv_heads = 3;
  expect_refused(heads, ErrorCode::kCorrupt, "4 heads over 3");
  TinyModel no_heads;
  no_heads.n_heads = 0;
  expect_refused(no_heads, ErrorCode::kCorrupt, "head_count");
  TinyModel layers;
  layers.n_layers = 1'000'000;
  expect_refused(layers, ErrorCode::kCorrupt, "block_count");
  TinyModel more_layers;
  more_layers.n_layers = 5;
  expect_refused(more_layers, ErrorCode::kNotFound, "blk.4.", config_of(0, 5));
  TinyModel width;
  width.d_model = 0;
  expect_refused(width, ErrorCode::kCorrupt, "embedding_length");
  TinyModel wide;
  wide.d_model = 1 << 20;
  expect_refused(wide, ErrorCode::kCorrupt, "token_embd.weight");
}

TEST_F(Load, ExpertsAreChecked) {
  const auto moe = [](auto bend) {
    TinyModel model;
    model.add_experts(6, 1);
    bend(model);
    return model;
  };
  EXPECT_TRUE(load(moe([](auto&) {})).has_value());
  const auto with = [&](const char* key, uint32_t value) {
    return moe([&](auto& model) { model.more.emplace_back(key, value); });
  };
  EXPECT_TRUE(load(with("expert_gating_func", 2)).has_value());
  expect_refused(with("expert_gating_func", 4), ErrorCode::kUnsupported, "expert_gating_func' is 4");
  expect_refused(with("expert_group_count", 4), ErrorCode::kCorrupt, "2 of 6 experts, of 1 of 4 groups");
  expect_refused(with("expert_group_count", 6), ErrorCode::kCorrupt, "of 1 of 6 groups");
  expect_refused(with("expert_group_used_count", 2), ErrorCode::kCorrupt, "expert_group_used_count");
  expect_refused(moe([](auto& m) { m.more[1].second = 7; }), ErrorCode::kCorrupt, "expert_used_count");
  expect_refused(moe([](auto& m) { m.more[1].second = 0; }), ErrorCode::kCorrupt, "expert_used_count");
  expect_refused(moe([](auto& m) { m.more[0].second = 8; }), ErrorCode::kCorrupt, "ffn_gate_inp");
  expect_refused(moe([](auto& m) { m.more[0].second = 1u << 30; }), ErrorCode::kCorrupt, "expert_count");
  expect_refused(moe([](auto& m) { m.more.clear(); }), ErrorCode::kCorrupt, "counts no experts");
  expect_refused(moe([](auto& m) { m.remove("blk.2.ffn_down_exps.weight"); }), ErrorCode::kNotFound,
                 "blk.2.ffn_down_exps.weight");
  expect_refused(moe([](auto& m) {
                   m.tensor("blk.3.ffn_up_exps.weight").shape = {32, 32, 5};
                 }),
                 ErrorCode::kCorrupt, "blk.3.ffn_up_exps.weight");
  expect_refused(moe([](auto& m) {
                   m.add("blk.2.ffn_down_shexp", {16, 32});
                 }),
                 ErrorCode::kNotFound, "blk.2.ffn_up_shexp.weight");
}

TEST_F(Load, BlocksThatPredictFurtherAheadAreLeftOut) {
  TinyModel model;
  model.more = {{"nextn_predict_layers", 1}};
  const auto info = read_model_info(*model.file());
  ASSERT_TRUE(info.has_value()) << info.error().message;
  EXPECT_EQ(info->n_layers, 3);
  EXPECT_EQ(info->layer_bytes.size(), 3u);
  const auto file = model.file();
  const auto tensors = stage_tensors(*file, {LayerIndex(0), LayerIndex(3)}, 3);
  EXPECT_TRUE(std::ranges::none_of(tensors, [](const auto* t) { return t->name.starts_with("blk.3."); }));
  EXPECT_TRUE(load(model, config_of(0, 3)).has_value());
  model.more = {{"nextn_predict_layers", 4}};
  expect_refused(model, ErrorCode::kCorrupt, "nextn_predict_layers");
}

TEST_F(Load, WrongConfigurationsAreRefused) {
  const TinyModel model;
  expect_refused(model, ErrorCode::kInvalidArgument, "blocks", config_of(0, 5));
  expect_refused(model, ErrorCode::kInvalidArgument, "blocks", config_of(2, 2));
  expect_refused(model, ErrorCode::kInvalidArgument, "blocks", config_of(-1, 2));
  auto config = config_of(0, 4);
  config.max_batch_rows = 0;
  expect_refused(model, ErrorCode::kInvalidArgument, "rows", config);
  config = config_of(0, 4);
  config.n_blocks = 0;
  expect_refused(model, ErrorCode::kInvalidArgument, "cache", config);
  config = config_of(0, 4);
  config.kv_type = ElementType::kQ4_K;
  expect_refused(model, ErrorCode::kInvalidArgument, "Q4_K", config);
  config = config_of(0, 4);
  config.kv_type = ElementType::kQ8_0;  // heads of 8
  expect_refused(model, ErrorCode::kInvalidArgument, "Q8_0", config);
  config = config_of(0, 4);
  config.n_blocks = INT32_MAX;
  config.block_positions = INT32_MAX;
  const auto stage = load(model, config);
  EXPECT_FALSE(stage.has_value());
}

}  // namespace
}  // namespace exo::model
