// A member of a group fetches its own rows only, and computes with them as if it had all.
#include "app/stage_ranges.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>

#include "model/load.h"
#include "model/testing/local_group.h"
#include "model/tiny_model.h"
#include "net/event_loop.h"
#include "ops/cpu/cpu_ops.h"
#include "store/fingerprint.h"
#include "store/shard_fetcher.h"

namespace exo::app {
namespace {

using Bytes = std::vector<std::byte>;

// The one device that has the model.
class Owner final : public net::FileConnector {
 public:
  explicit Owner(const Bytes& model)
      : source_(store::memory_source(model, formats::GgufFile::parse(model)->data_offset())) {}
  std::string fingerprint() const { return store::fingerprint_of(*source_, source_->layout()).value(); }
  Result<std::unique_ptr<net::FileConnection>> connect_files(const NodeId&) override {
    return std::make_unique<Connection>(*this);
  }
  std::atomic<uint64_t> given_bytes = 0;

 private:
  class Connection final : public net::FileConnection {
   public:
    explicit Connection(Owner& owner) : owner_(owner) {}
    Result<net::FileLayout> layout(const std::string&) override { return owner_.source_->layout(); }
    Result<Bytes> read(const std::string&, uint64_t offset, uint64_t bytes) override {
      Bytes out(bytes);
      EXO_CHECK_OK(owner_.source_->read(offset, out));
      owner_.given_bytes += bytes;
      return out;
    }
    void cancel() override {}

   private:
    Owner& owner_;
  };
  const std::shared_ptr<const net::FileSource> source_;
};

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

class MemberFetch : public testing::TestWithParam<bool> {
 protected:
  MemberFetch() : model(wide_model(GetParam())), owner(model) {
    std::filesystem::create_directories(folder);
    loop.start();
    loop.run_and_wait([this] { fetcher = std::make_unique<store::ShardFetcher>(loop, owner, folder); });
  }
  ~MemberFetch() override {
    loop.run_and_wait([this] { fetcher.reset(); });
    loop.stop();
    std::filesystem::remove_all(folder);
  }
  std::shared_ptr<store::PartialFile> fetch(const model::TensorShare& share) {
    std::promise<Result<std::shared_ptr<store::PartialFile>>> done;
    loop.run_and_wait([&] {
      const auto choose = [share](const formats::GgufFile& file, const net::FileLayout& layout) {
        return stage_ranges(file, layout, kAll, share);
      };
      fetcher->fetch({owner.fingerprint(), "m", {NodeId{}}, choose}, {},
                     [&](auto result) { done.set_value(std::move(result)); });
    });
    auto result = done.get_future().get();
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return result.value_or(nullptr);
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
  static std::shared_ptr<const formats::GgufFile> opened(const store::PartialFile& file) {
    return std::make_shared<const formats::GgufFile>(formats::GgufFile::open(file.path()).value());
  }

  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / fmt::format("exo-stage-ranges-{}", ::getpid());
  const Bytes model;
  Owner owner;
  net::EventLoop loop;
  std::unique_ptr<store::ShardFetcher> fetcher;
};

TEST_P(MemberFetch, BringsAboutHalfAndALaterStageOnlyTheRest) {
  const auto part = fetch(half(1));
  ASSERT_NE(part, nullptr);
  const uint64_t all = model.size(), own = owner.given_bytes;
  EXPECT_EQ(part->present().total_bytes(), own) << "nothing is fetched twice";
  EXPECT_GT(own, all * 49 / 100);
  EXPECT_LT(own, all * 53 / 100) << "embedding, norms and routers are whole, the rest is half";

  const auto original = model::TinyModel::parse_owned(model);
  const auto alone = logits({original});
  EXPECT_EQ(logits({original, opened(*part)}), alone) << "other members' rows are not needed";

  const auto whole = fetch({});
  ASSERT_NE(whole, nullptr);
  EXPECT_LE(owner.given_bytes, all) << "what was here is not fetched again";
  EXPECT_EQ(logits({opened(*whole)}), alone);
}

INSTANTIATE_TEST_SUITE_P(Models, MemberFetch, testing::Bool(),
                         [](const auto& of) { return std::string(of.param ? "Experts" : "Dense"); });

}  // namespace
}  // namespace exo::app
