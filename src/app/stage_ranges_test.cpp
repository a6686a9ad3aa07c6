// A member of a group needs its own rows only, and computes with them as if it had all.
#include "app/stage_ranges.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "model/load.h"
#include "model/testing/local_group.h"
#include "model/tiny_model.h"
#include "ops/cpu/cpu_ops.h"
#include "store/fingerprint.h"

namespace exo::app {
namespace {

using Bytes = std::vector<std::byte>;

constexpr LayerRange kAll{LayerIndex(0), LayerIndex(3)};

// Wide enough that halves of its tensors lie further apart than kFetchedGapBytes.
Bytes wide_model(bool experts) {
  model::TinyModel model;
  model.n_layers = 3;
  model.d_model = 256;
  model.n_heads = 4;
  model.n_kv_heads = 4;
  model.d_ff = 1024;
  model.tensors.clear();
  const int64_t d = model.d_model, ff = model.d_ff;
  model.add("token_embd", {d, model.n_vocab});
  for (uint32_t i = 0; i < model.n_layers; ++i) {
    const std::string block = fmt::format("blk.{}.", i);
    for (const char* norm : {"attn_norm", "ffn_norm"}) model.add(block + norm, {d});
    for (const char* square : {"attn_q", "attn_k", "attn_v", "attn_output"}) model.add(block + square, {d, d});
    for (const char* wide : {"ffn_gate", "ffn_up"}) model.add(block + wide, {d, ff});
    model.add(block + "ffn_down", {ff, d});
  }
  model.add("output_norm", {d});
  model.add("output", {d, model.n_vocab});
  if (experts) model.add_experts(4, 1);
  return model.bytes();
}

class MemberRanges : public testing::TestWithParam<bool> {
 protected:
  store::RangeSet ranges_of(const model::TensorShare& share) const {
    const auto source = store::memory_source(bytes, original->data_offset());
    auto ranges = stage_ranges(*original, source->layout(), kAll, share);
    EXPECT_TRUE(ranges.has_value()) << ranges.error().message;
    return ranges.value_or(store::RangeSet());
  }
  // The model with nothing right but its header and these bytes.
  std::shared_ptr<const formats::GgufFile> only(const store::RangeSet& ranges) const {
    Bytes part(bytes.size(), std::byte{0xff});
    std::copy_n(bytes.begin(), original->data_offset(), part.begin());
    for (const auto& range : ranges.ranges()) {
      std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(range.begin), range.size(),
                  part.begin() + static_cast<ptrdiff_t>(range.begin));
    }
    return model::TinyModel::parse_owned(part);
  }
  static model::TensorShare half(int32_t member) {
    return model::TensorShare::make({32768, 32768}, member).value();
  }

  // The leader's logits of a prompt; members[i] is the file of member i, one: of the whole.
  std::vector<float> logits(const std::vector<std::shared_ptr<const formats::GgufFile>>& members) {
    std::vector<float> out;
    model::LocalGroup group(static_cast<int32_t>(members.size()));
    group.run([&](int32_t m) {
      const auto ops = ops::make_cpu_ops({.threads = 1});
      model::StageConfig config{.layers = kAll, .max_batch_rows = 5, .block_positions = 8, .n_blocks = 1};
      if (members.size() > 1) config.share = half(m);
      const auto stage = model::load_stage(members[static_cast<size_t>(m)], config, *ops);
      ASSERT_TRUE(stage.has_value()) << stage.error().message;
      const std::vector<BlockId> table = {BlockId(0)};
      const std::vector<TokenId> tokens = {TokenId(3), TokenId(1), TokenId(4), TokenId(1), TokenId(5)};
      const model::StepSequence sequence{
          .first = Position(0), .n_tokens = 5, .block_table = table, .wants_logits = true};
      const auto computed =
          (*stage)->forward({.sequences = {&sequence, 1}, .tokens = tokens, .group = group.end(m)});
      ASSERT_TRUE(computed.has_value()) << computed.error().message;
      if (m == 0) out.assign(computed->begin(), computed->end());
    });
    return out;
  }

  const Bytes bytes = wide_model(GetParam());
  const std::shared_ptr<const formats::GgufFile> original = model::TinyModel::parse_owned(bytes);
};

TEST_P(MemberRanges, AreAboutHalfAndEnough) {
  const auto own = ranges_of(half(1)), leaders = ranges_of(half(0)), all = ranges_of({});
  for (const auto& part : {own, leaders}) {
    EXPECT_GT(part.total_bytes(), bytes.size() * 49 / 100);
    EXPECT_LT(part.total_bytes(), bytes.size() * 53 / 100)
        << "embedding, norms and routers are whole, the rest is half";
    EXPECT_EQ(all.without(part).total_bytes(), all.total_bytes() - part.total_bytes())
        << "a later stage of everything needs only the rest";
  }
  const auto alone = logits({original});
  EXPECT_EQ(logits({only(leaders), only(own)}), alone) << "other members' rows are not needed";
}

INSTANTIATE_TEST_SUITE_P(Models, MemberRanges, testing::Bool(),
                         [](const auto& of) { return std::string(of.param ? "Experts" : "Dense"); });

}  // namespace
}  // namespace exo::app
