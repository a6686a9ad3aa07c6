// Real models, two stages and a draft model on threads of their own: the answers are those without guesses, whoever
// guesses, and a model that guesses for itself is always right.

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "formats/gguf.h"
#include "model/load.h"
#include "net/event_loop.h"
#include "net/simulated_network.h"
#include "ops/cpu/cpu_ops.h"
#include "ring/draft_engine.h"
#include "ring/engine_thread.h"
#include "serve/scheduler.h"

namespace exo::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int32_t kBlocks = 64, kBlockPositions = 8, kSlots = 4, kRows = 32;

std::shared_ptr<const formats::GgufFile> open_golden(const std::string& name) {
  auto file = formats::GgufFile::open(std::string(EXO_SOURCE_DIR) + "/src/model/testdata/" + name + ".gguf");
  EXPECT_TRUE(file) << name;
  return std::make_shared<const formats::GgufFile>(std::move(*file));
}

// A stage or a whole model with its device.
struct Loaded {
  Loaded(const std::string& name, int32_t begin, int32_t end) : device(ops::make_cpu_ops({.threads = 1})) {
    const auto file = open_golden(name);
    model::StageConfig config;
    config.layers = {LayerIndex(begin), LayerIndex(end)};
    config.max_batch_rows = kRows;
    config.block_positions = kBlockPositions;
    config.n_blocks = kBlocks;
    auto loaded = model::load_stage(file, config, *device);
    EXPECT_TRUE(loaded) << loaded.error().message;
    stage = std::move(*loaded);
  }
  std::unique_ptr<ops::Ops> device;
  std::unique_ptr<model::Stage> stage;
};

int32_t layers_of(const std::string& name) { return model::read_model_info(*open_golden(name))->n_layers; }

// Two stages of a model, a few milliseconds apart.
class RealRing final : public SchedulerPort {
 public:
  explicit RealRing(const std::string& target)
      : first_(target, 0, 1), last_(target, 1, layers_of(target)), n_vocab_(first_.stage->model().n_vocab) {
    engines_[0] = std::make_unique<ring::EngineThread>(loop_, std::move(first_.stage),
                                                       ring::EngineOptions{.max_slots = kSlots});
    engines_[1] = std::make_unique<ring::EngineThread>(loop_, std::move(last_.stage),
                                                       ring::EngineOptions{.max_slots = kSlots});
    SchedulerConfig config{.stage_nodes = {net::simulated_node_id(1), net::simulated_node_id(2)},
                           .n_blocks = kBlocks,
                           .block_positions = kBlockPositions,
                           .max_slots = kSlots,
                           .max_batch_rows = kRows,
                           .context_tokens = kBlocks * kBlockPositions,
                           .n_vocab = n_vocab_};
    scheduler_ = std::make_unique<Scheduler>(loop_, *this, config);
    loop_.start();
    loop_.run_and_wait([this] { scheduler_->set_ready(true); });
  }
  ~RealRing() override {
    loop_.run_and_wait([this] { scheduler_.reset(); });
    for (auto& engine : engines_) engine.reset();
    draft_.reset();
    loop_.stop();
  }

  void draft_with(const std::string& name) {
    draft_model_ = std::make_unique<Loaded>(name, 0, layers_of(name));
    auto started = ring::DraftEngine::start(loop_, std::move(draft_model_->stage), gate_);
    ASSERT_TRUE(started) << started.error().message;
    draft_ = std::move(*started);
    loop_.run_and_wait([this] { scheduler_->set_drafter(draft_->make_drafter(*scheduler_, n_vocab_)); });
  }

  // The answers to three requests at once, one after the other, by the sampler.
  std::vector<std::vector<TokenId>> answers(const SamplerSettings& sampler, int n_requests = 3) {
    loop_.run_and_wait([&] {
      answers_.clear();
      answers_.resize(static_cast<size_t>(n_requests));
      finished_ = 0;
      ++turn_;
      for (int i = 0; i < n_requests; ++i) {
        wire::SubmitRequest request{.request = {turn_, static_cast<uint64_t>(i)}};
        for (int32_t t = 0; t < 9 + 25 * i; ++t) request.tokens.emplace_back((i * 17 + t * t * 5 + 3) % n_vocab_);
        request.prompt_tokens = static_cast<int32_t>(request.tokens.size());
        request.max_new_tokens = 40;
        request.sampler = sampler;
        request.sampler.seed += static_cast<uint64_t>(i);
        scheduler_->submit(net::simulated_node_id(9), std::move(request));
      }
    });
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(50), [&] { return finished_ == n_requests; }));
    return answers_;
  }
  SchedulerStatistics statistics() {
    SchedulerStatistics statistics;
    loop_.run_and_wait([&] { statistics = scheduler_->statistics(); });
    return statistics;
  }

  void send_step(wire::Step step) override { run(0, std::move(step)); }
  void send_update(const NodeId&, wire::RequestUpdate update) override {
    const std::lock_guard lock(mutex_);
    if (update.request.high != turn_) return;  // its turn was given up
    for (const auto& token : update.tokens) answers_[update.request.low].push_back(token.token);
    EXPECT_NE(update.finish, wire::FinishReason::kError) << update.error;
    finished_ += update.finish != wire::FinishReason::kNone;
    changed_.notify_all();
  }

 private:
  void run(size_t stage, wire::Step step) {
    auto kept = std::make_shared<wire::Step>(step);
    auto busy = stage == 0 ? gate_.enter() : nullptr;
    engines_[stage]->execute(std::move(step), [this, stage, kept, busy](Result<ring::StageOutput> output) {
      loop_.run_after(milliseconds(2), [this, stage, kept, output = std::move(output)]() mutable {
        if (!scheduler_) return;
        if (!output)
          return scheduler_->on_step_failed(
              {"", {}, kept->micro_batch, output.error().code, output.error().message});
        if (stage == 1)
          return scheduler_->on_step_result(
              {"", {}, kept->micro_batch, std::move(output->tokens), std::move(output->counts)});
        kept->tokens.clear();
        kept->activations = std::move(output->activations);
        run(1, std::move(*kept));
      });
    });
  }

  net::EventLoop loop_;
  ring::IdleGate gate_;
  Loaded first_, last_;
  const int32_t n_vocab_;
  std::unique_ptr<Loaded> draft_model_;
  std::unique_ptr<ring::DraftEngine> draft_;
  std::unique_ptr<ring::EngineThread> engines_[2];
  std::unique_ptr<Scheduler> scheduler_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<TokenId>> answers_;
  int finished_ = 0;
  uint64_t turn_ = 0;
};

std::vector<SamplerSettings> samplers() {
  SamplerSettings greedy{.temperature = 0}, seeded{.temperature = 0.9f, .seed = 7}, everything = seeded;
  seeded.top_k = 0;
  seeded.top_p = 1;
  everything.repetition_penalty = 1.2f;
  everything.presence_penalty = 0.3f;
  everything.frequency_penalty = 0.2f;
  everything.logit_bias = {{TokenId(3), 1.5f}};
  return {greedy, seeded, everything};
}

TEST(DraftExactness, AModelThatGuessesForItselfIsAlwaysRight) {
  for (const SamplerSettings& sampler : samplers()) {
    const auto expected = RealRing("llama").answers(sampler);
    RealRing drafted("llama");
    drafted.draft_with("llama");
    EXPECT_EQ(drafted.answers(sampler), expected);
    for (int i = 0; i < 3; ++i) {  // one at a time, as without others it is waited for
      EXPECT_EQ(drafted.answers(sampler, 1).front(), expected.front());
    }
    const auto guessed = drafted.statistics().of(GuessSource::kDraft);
    EXPECT_GT(guessed.drafted, 40u);
    EXPECT_EQ(guessed.accepted, guessed.drafted);
  }
}

TEST(DraftExactness, AModelThatGuessesBadlyChangesNothing) {
  for (const char* other : {"olmo", "qwen3"}) {
    for (const SamplerSettings& sampler : samplers()) {
      const auto expected = RealRing("llama").answers(sampler);
      RealRing drafted("llama");
      drafted.draft_with(other);
      EXPECT_EQ(drafted.answers(sampler), expected);
      // On a busy machine guesses may come too late to be of use.
      auto guessed = drafted.statistics().of(GuessSource::kDraft);
      for (int i = 0; i == 0 || (i < 20 && guessed.drafted == 0); ++i) {
        EXPECT_EQ(drafted.answers(sampler, 1).front(), expected.front());
        guessed = drafted.statistics().of(GuessSource::kDraft);
      }
      EXPECT_LT(guessed.accepted, guessed.drafted);
    }
  }
}

TEST(DraftExactness, AModelWithAStateIsRefusedByName) {
  net::EventLoop loop;
  Loaded recurrent("qwen3next", 0, layers_of("qwen3next"));
  const auto started = ring::DraftEngine::start(loop, std::move(recurrent.stage), {});
  ASSERT_FALSE(started);
  EXPECT_NE(started.error().message.find("qwen3next"), std::string::npos) << started.error().message;
}

}  // namespace
}  // namespace exo::serve
