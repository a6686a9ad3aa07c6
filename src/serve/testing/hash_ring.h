#pragma once
// For tests: a scheduler and its ring of hash stages (ring/testing/hash_executor.h), whose answer is a hash of
// everything they were told, on virtual time.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "net/simulated_network.h"
#include "ring/testing/hash_executor.h"
#include "serve/scheduler.h"

namespace exo::serve::testing {

using ring::testing::HashExecutor;
using ring::testing::HashLog;
using ring::testing::kHashVocabulary;
using ring::testing::oracle_answer;
using std::chrono::milliseconds;
using std::chrono::seconds;

inline NodeId node(uint32_t n) { return net::simulated_node_id(n); }

inline std::vector<TokenId> random_tokens(std::mt19937& random, int32_t count) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.emplace_back(static_cast<int32_t>(random() % kHashVocabulary));
  return tokens;
}

struct Outcome {
  std::vector<TokenId> answer;
  wire::FinishReason finish = wire::FinishReason::kNone;
  ErrorCode error_code{};
  std::string error;
  int32_t queue_position = 0, cached = 0, most_prefilled = 0;
  size_t updates = 0;
};

// A ring of hash stages with perfect or, on request, failing hops. Also the front.
class Ring final : public SchedulerPort {
 public:
  Ring(int32_t n_stages, SchedulerConfig config) : config_(std::move(config)) {
    for (int32_t i = 0; i < n_stages; ++i) config_.stage_nodes.push_back(node(static_cast<uint32_t>(i) + 1));
    config_.n_vocab = kHashVocabulary;
    for (int32_t i = 0; i < n_stages; ++i) {
      stages_.push_back(std::make_unique<HashExecutor>(clock_,
                                                       ring::StageLimits{.max_slots = config_.max_slots,
                                                                         .n_blocks = config_.n_blocks,
                                                                         .block_positions = config_.block_positions,
                                                                         .max_batch_rows = config_.max_batch_rows,
                                                                         .first_stage = i == 0,
                                                                         .last_stage = i + 1 == n_stages},
                                                       log_,
                                                       [this](const wire::Step& step) { return time_of(step); }));
    }
    if (config_.keeps_state)
      for (const auto& stage : stages_) stage->keep_state();
    scheduler_ = std::make_unique<Scheduler>(clock_, *this, config_);
    scheduler_->set_ready(true);
  }

  void send_step(wire::Step step) override {
    sent_.push_back(step);
    sent_.back().activations.clear();
    if (swallow_ > 0) {
      --swallow_;
      lost_ = true;
      return;
    }
    if (std::exchange(lost_, false)) {  // a gap in the numbers: stages forget their slots (ring/stage_runner.h)
      step.closed_slots.clear();
      for (int32_t slot = 0; slot < config_.max_slots; ++slot) step.closed_slots.emplace_back(slot);
    }
    run(0, std::move(step));
  }
  void send_update(const NodeId& front, wire::RequestUpdate update) override {
    EXPECT_EQ(front, node(77));
    Outcome& outcome = outcomes_[update.request.low];
    ++outcome.updates;
    outcome.queue_position = update.queue_position;
    outcome.cached = std::max(outcome.cached, update.cached_tokens);
    outcome.most_prefilled = std::max(outcome.most_prefilled, update.prefilled_tokens);
    EXPECT_EQ(outcome.finish, wire::FinishReason::kNone) << "an update after the finish";
    if (update.finish != wire::FinishReason::kError) {
      EXPECT_EQ(update.index, static_cast<int32_t>(prompts_[update.request.low].size() + outcome.answer.size()));
    }
    for (const auto& token : update.tokens) outcome.answer.push_back(token.token);
    outcome.finish = update.finish;
    outcome.error_code = update.error_code;
    outcome.error = update.error;
  }

  // Ids from 1000 on get an answer that repeats itself.
  static uint64_t seed_of(uint64_t id) { return id * 3 + (id >= 1000 ? ring::testing::kPeriodicSeed : 0); }
  void submit(uint64_t id, std::vector<TokenId> prompt, int32_t max_new, std::vector<TokenId> stops = {}) {
    prompts_[id] = prompt;
    wire::SubmitRequest request{.request = {0, id}};
    request.prompt_tokens = static_cast<int32_t>(prompt.size());
    request.tokens = std::move(prompt);
    request.max_new_tokens = max_new;
    request.stop_tokens = std::move(stops);
    request.sampler.seed = seed_of(id);
    scheduler_->submit(node(77), std::move(request));
  }
  bool settle(net::Duration limit = seconds(300)) {
    return clock_.run_until(
        [this] { return scheduler_->statistics().waiting + scheduler_->statistics().running == 0; }, limit);
  }
  void expect_all_free() {
    clock_.advance(seconds(2));
    const auto statistics = scheduler_->statistics();
    EXPECT_EQ(statistics.free_slots, config_.max_slots);
    EXPECT_EQ(statistics.available_blocks, config_.n_blocks);
    EXPECT_EQ(statistics.in_flight, 0u);
    for (const auto& stage : stages_) EXPECT_EQ(stage->open_slots(), 0u);
    EXPECT_TRUE(log_.violations.empty()) << log_.violations.front();
  }
  std::vector<TokenId> oracle(uint64_t id, int32_t max_new, std::vector<TokenId> stops = {}) {
    return oracle_answer(prompts_[id], max_new, seed_of(id), stops);
  }

  net::VirtualClock clock_;
  SchedulerConfig config_;
  HashLog log_;
  std::vector<std::unique_ptr<HashExecutor>> stages_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<uint64_t, std::vector<TokenId>> prompts_;
  std::map<uint64_t, Outcome> outcomes_;
  std::vector<wire::Step> sent_;
  net::Duration stage_time_ = milliseconds(2), row_time_{}, hop_time_{};
  int swallow_ = 0;                // steps to lose
  std::optional<TokenId> poison_;  // a token that the last stage cannot stand
  size_t most_at_once_ = 0;

 private:
  void run(size_t stage, wire::Step step) {
    most_at_once_ = std::max(most_at_once_, scheduler_->statistics().in_flight);
    auto kept = std::make_shared<wire::Step>(step);
    if (stage == 0 && poison_ && std::ranges::find(step.tokens, *poison_) != step.tokens.end())
      poisoned_.insert(step.micro_batch.value);
    stages_[stage]->execute(std::move(step), [this, stage, kept](Result<ring::StageOutput> output) {
      const bool last = stage + 1 == stages_.size();
      if (last && poisoned_.contains(kept->micro_batch.value)) output = fail(ErrorCode::kInternal, "poison");
      if (output) kept->computed.add(output->ended - output->began);
      if (!output)
        return scheduler_->on_step_failed({"", {}, kept->micro_batch, output.error().code, output.error().message});
      if (last) {
        wire::StepResult result{
            "", {}, kept->micro_batch, std::move(output->tokens), std::move(output->counts), kept->computed};
        return hop([this, result = std::move(result)] { scheduler_->on_step_result(result); });
      }
      kept->tokens.clear();
      kept->activations = std::move(output->activations);
      hop([this, stage, kept] { run(stage + 1, std::move(*kept)); });
    });
  }
  net::Duration time_of(const wire::Step& step) const {
    int64_t rows = 0;
    for (const auto& sequence : step.sequences) rows += sequence.n_tokens;
    return stage_time_ + rows * row_time_;
  }
  void hop(std::function<void()> arrive) {
    if (hop_time_ == net::Duration{}) return arrive();
    clock_.run_after(hop_time_, std::move(arrive));
  }

  std::set<uint64_t> poisoned_;
  bool lost_ = false;  // the step before
};

inline SchedulerConfig config(int32_t n_blocks, int32_t slots, int32_t rows = 64, int32_t context = 256) {
  return {.n_blocks = n_blocks,
          .block_positions = 4,
          .max_slots = slots,
          .max_batch_rows = rows,
          .context_tokens = context};
}

}  // namespace exo::serve::testing
