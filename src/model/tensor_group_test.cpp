// Stages that a group of devices computes together give one device's bits.
#include "model/tensor_group.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "model/load.h"
#include "model/testing/local_group.h"
#include "model/tiny_model.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::model {
namespace {

using File = std::shared_ptr<const formats::GgufFile>;
using Bytes = std::vector<std::byte>;

constexpr int32_t kRows = 9;

// The file as a member has it that fetched its own rows only: with rubbish where others' are.
Result<File> file_of_member(const Bytes& bytes, LayerRange layers, const TensorShare& share) {
  EXO_TRY(const auto file, formats::GgufFile::parse(bytes));
  EXO_TRY(const auto pieces, stage_pieces(file, layers, share));
  Bytes own = bytes;
  std::fill(own.begin() + static_cast<std::ptrdiff_t>(file.data_offset()), own.end(), std::byte{0xff});
  for (const auto& piece : pieces) {
    const auto at = static_cast<std::ptrdiff_t>(piece.tensor->file_offset + piece.begin);
    std::copy_n(bytes.begin() + at, piece.size(), own.begin() + at);
  }
  return TinyModel::parse_owned(std::move(own));
}

// All logits of a prompt and of two single tokens after it, as `shares` of one stage compute them.
Result<std::vector<float>> run_group(const Bytes& bytes, const std::vector<uint32_t>& shares,
                                     int32_t n_rows = kRows) {
  const auto n_members = static_cast<int32_t>(shares.size());
  EXO_TRY(const auto whole, formats::GgufFile::parse(bytes));
  EXO_TRY(const auto info, read_model_info(whole));
  std::vector<BlockId> table;
  constexpr int32_t kBlock = 4;
  const int32_t n_blocks = n_rows / kBlock + 2;
  for (uint32_t b = 0; b < static_cast<uint32_t>(n_blocks); ++b) table.emplace_back(b);
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < n_rows + 2; ++i) tokens.emplace_back((i * 37 + 5) % info.n_vocab);
  std::vector<Status> failures(shares.size());
  std::vector<float> logits;
  LocalGroup group(n_members);
  const auto member = [&](int32_t m) -> Status {
    const auto ops = ops::make_cpu_ops({.threads = 1});
    StageConfig config{.layers = {LayerIndex(0), LayerIndex(info.n_layers)},
                       .max_batch_rows = n_rows,
                       .block_positions = kBlock,
                       .n_blocks = n_blocks,
                       .kv_type = ElementType::kF16};
    EXO_TRY(config.share, TensorShare::make(shares, m));
    EXO_TRY(auto file, file_of_member(bytes, config.layers, config.share));
    EXO_TRY(const auto stage, load_stage(std::move(file), config, *ops));
    for (const auto& [first, count] : {std::pair{0, n_rows}, {n_rows, 1}, {n_rows + 1, 1}}) {
      const StepSequence sequence{
          .first = Position(first), .n_tokens = count, .block_table = table, .wants_logits = true};
      EXO_TRY(const auto out,
              stage->forward_all_logits({.sequences = {&sequence, 1},
                                         .tokens = std::span(tokens).subspan(size_t(first), size_t(count)),
                                         .group = group.end(m)}));
      if (m == 0) logits.insert(logits.end(), out.begin(), out.end());
      if (m != 0 && !out.empty()) return fail(ErrorCode::kInternal, "only the leader has logits");
    }
    return {};
  };
  group.run([&](int32_t m) {
    auto& failure = failures[static_cast<size_t>(m)] = member(m);
    if (!failure) group.fail();
  });
  for (auto& failure : failures) {
    if (!failure && failure.error().code != ErrorCode::kUnavailable) return std::unexpected(failure.error());
  }
  return logits;
}

void expect_same_bits(const Bytes& bytes, const std::vector<std::vector<uint32_t>>& groups,
                      int32_t n_rows = kRows) {
  const auto alone = run_group(bytes, {65536}, n_rows);
  ASSERT_TRUE(alone.has_value()) << alone.error().message;
  for (const auto& shares : groups) {
    const auto together = run_group(bytes, shares, n_rows);
    ASSERT_TRUE(together.has_value()) << together.error().message;
    EXPECT_EQ(*together, *alone) << fmt::format("{}", fmt::join(shares, " + "));
  }
}

TEST(TensorGroup, EveryArchitectureGivesTheBitsOfOneDevice) {
  int n_models = 0, n_refused = 0;
  const auto folder = std::filesystem::path(EXO_SOURCE_DIR) / "src/model/testdata";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".gguf") continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const auto view = std::as_bytes(std::span(text));
    const Bytes bytes(view.begin(), view.end());
    const auto name = entry.path().stem().string();
    if (name.starts_with("bert") || name.starts_with("nomic")) continue;  // encoders have no stages
    SCOPED_TRACE(name);
    const auto file = formats::GgufFile::parse(bytes);
    ASSERT_TRUE(file.has_value()) << file.error().message;
    const auto info = read_model_info(*file);
    const auto together = run_group(bytes, {39000, 26536});
    if (!together) {
      EXPECT_EQ(together.error().code, ErrorCode::kUnsupported) << together.error().message;
      EXPECT_TRUE(std::ranges::any_of(info->state_bytes, [](uint64_t b) { return b > 0; }))
          << together.error().message;
      ++n_refused;
      continue;
    }
    expect_same_bits(bytes, {{39000, 26536}, {32768, 32768}});
    ++n_models;
  }
  EXPECT_GE(n_models, 40);
  EXPECT_LE(n_refused, 4);
}

// Wide enough for blocks of every number format, and for parts that are no whole panels of the kernels.
TinyModel wide_model(ElementType type, bool experts, uint32_t d_model = 256) {
  TinyModel model;
  model.n_layers = 2;
  model.d_model = d_model;
  model.n_heads = 8;
  model.n_kv_heads = 4;
  model.d_ff = 512;
  model.n_vocab = 200;
  TinyModel fresh = model;
  model.tensors.clear();
  const int64_t d = model.d_model, kv = d / model.n_heads * model.n_kv_heads, ff = model.d_ff;
  model.add("token_embd", {d, model.n_vocab});
  for (uint32_t i = 0; i < model.n_layers; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    model.add(block + "attn_norm", {d});
    model.add(block + "attn_q", {d, d});
    model.add(block + "attn_k", {d, kv});
    model.add(block + "attn_v", {d, kv});
    model.add(block + "attn_output", {d, d});
    model.add(block + "ffn_norm", {d});
    model.add(block + "ffn_gate", {d, ff});
    model.add(block + "ffn_up", {d, ff});
    model.add(block + "ffn_down", {ff, d});
  }
  model.add("output_norm", {d});
  model.add("output", {d, model.n_vocab});
  if (experts) model.add_experts(4, 1);
  for (auto& tensor : model.tensors) {
    if (tensor.shape.size() > 1 && tensor.name.find("gate_inp") == std::string::npos) tensor.type = type;
  }
  return model;
}

TEST(TensorGroup, EveryNumberFormatGivesTheBitsOfOneDevice) {
  for (const ElementType type :
       {ElementType::kF16, ElementType::kQ4_0, ElementType::kQ8_0, ElementType::kQ4_K, ElementType::kQ6_K}) {
    SCOPED_TRACE(info(type).name);
    expect_same_bits(wide_model(type, false).bytes(),
                     {{39000, 26536}, {16384, 16384, 32768}, {20000, 16000, 14768, 14768}});
    expect_same_bits(wide_model(type, true).bytes(), {{39000, 26536}});
  }
}

// Of many rows members have only their own columns of the residual stream, where these are whole sums of its norms.
TEST(TensorGroup, ManyRowsGiveTheBitsOfOneDevice) {
  constexpr int32_t kManyRows = 45;
  for (const ElementType type : {ElementType::kF16, ElementType::kQ4_0}) {
    SCOPED_TRACE(info(type).name);
    expect_same_bits(wide_model(type, false, 1024).bytes(),
                     {{32768, 32768}, {49152, 16384}, {39000, 26536}, {16384, 32768, 16384}}, kManyRows);
    expect_same_bits(wide_model(type, true, 1024).bytes(), {{32768, 32768}}, kManyRows);
  }
}

TEST(TensorGroup, SharesThatLeaveAMemberWithoutHeadsAreRefused) {
  const auto result = run_group(TinyModel().bytes(), {30000, 30000, 5536});  // two key-value heads
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(result.error().message.find("attention heads"), std::string::npos) << result.error().message;
}

TEST(TensorGroup, AMemberThatDiesEndsTheStepAndTheNextOneIsRight) {
  const auto file = TinyModel().file();
  const auto ops = ops::make_cpu_ops({.threads = 1});
  StageConfig config{
      .layers = {LayerIndex(0), LayerIndex(4)}, .max_batch_rows = 4, .block_positions = 4, .n_blocks = 1};
  config.share = *TensorShare::make({32768, 32768}, 0);
  const auto stage = *load_stage(file, config, *ops);
  LocalGroup group(2);
  group.fail();
  const std::vector<BlockId> table = {BlockId(0)};
  const std::vector<TokenId> tokens = {TokenId(3)};
  const StepSequence sequence{.first = Position(0), .n_tokens = 1, .block_table = table, .wants_logits = true};
  const auto out = stage->forward({.sequences = {&sequence, 1}, .tokens = tokens, .group = group.end(0)});
  ASSERT_FALSE(out.has_value());
  EXPECT_EQ(out.error().code, ErrorCode::kUnavailable);
  EXPECT_FALSE(stage->forward({.sequences = {&sequence, 1}, .tokens = tokens}).has_value());
}

}  // namespace
}  // namespace exo::model
