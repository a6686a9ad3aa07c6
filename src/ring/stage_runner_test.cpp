#include "ring/stage_runner.h"

#include <gtest/gtest.h>

#include "net/simulated_network.h"

namespace exo::ring {
namespace {

using std::chrono::milliseconds;

// Answers when told to, with one activation or token per sequence.
class ManualExecutor final : public StageExecutor {
 public:
  void execute(wire::Step step, std::function<void(Result<StageOutput>)> done) override {
    steps.push_back(std::move(step));
    waiting.push_back(std::move(done));
  }
  void answer(Result<StageOutput> output) {
    auto done = std::move(waiting.front());
    waiting.erase(waiting.begin());
    done(std::move(output));
  }
  void interrupt(MicroBatchId newest) override { interrupted = newest; }
  std::vector<wire::Step> steps;
  std::vector<std::function<void(Result<StageOutput>)>> waiting;
  MicroBatchId interrupted;
};

class Recorder : public net::TransportListener {
 public:
  void on_link_up(const net::LinkInfo&) override {}
  void on_link_down(const NodeId&, const Error&) override {}
  void on_message(const NodeId&, wire::Message message) override { messages.push_back(std::move(message)); }
  template <typename T>
  std::vector<T> all() const {
    std::vector<T> found;
    for (const auto& message : messages)
      if (const auto* value = std::get_if<T>(&message)) found.push_back(*value);
    return found;
  }
  std::vector<wire::Message> messages;
};

class StageRunnerTest : public ::testing::Test {
 protected:
  StageRunnerTest() : network(clock, 1) {
    for (uint32_t n = 1; n <= 3; ++n) {
      nodes[n] = &network.add_node(id(n));
      nodes[n]->transport().add_listener(&heard[n]);
      record.stages.push_back(
          {id(n), {LayerIndex(static_cast<int32_t>(n)), LayerIndex(static_cast<int32_t>(n) + 1)}});
    }
    record.fingerprint = std::string(64, 'f');
    record.epoch = {7, id(1)};
    clock.advance(std::chrono::seconds(1));
  }
  static NodeId id(uint32_t n) { return net::simulated_node_id(n); }
  std::unique_ptr<StageRunner> runner(uint32_t n, bool loaded = true) {
    auto made = std::make_unique<StageRunner>(nodes[n]->clock(), nodes[n]->transport(), record,
                                              static_cast<int32_t>(n) - 1);
    if (loaded) load(*made);
    return made;
  }
  void load(StageRunner& stage) {
    auto owned = std::make_unique<ManualExecutor>();
    executor = owned.get();
    stage.set_executor(std::move(owned), 4);
  }
  wire::Step step(uint64_t number) {
    wire::Step made{.fingerprint = record.fingerprint, .epoch = record.epoch, .micro_batch = MicroBatchId(number)};
    made.sequences.push_back({.slot = SlotId(0), .n_tokens = 1, .wants_logits = true});
    made.tokens.emplace_back(1);
    return made;
  }

  net::VirtualClock clock;
  net::SimulatedNetwork network;
  std::map<uint32_t, net::SimulatedNode*> nodes;
  std::map<uint32_t, Recorder> heard;
  wire::InstanceRecord record;
  ManualExecutor* executor = nullptr;
};

TEST_F(StageRunnerTest, HandsActivationsToTheNextStage) {
  auto middle = runner(2);
  middle->on_step(id(1), step(1));
  executor->answer(StageOutput{.activations = {1, 2}});
  clock.advance(milliseconds(5));
  const auto got = heard[3].all<wire::Step>();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].activations, (std::vector<float>{1, 2}));
  EXPECT_EQ(got[0].sequences, step(1).sequences);
  EXPECT_TRUE(got[0].tokens.empty());
  EXPECT_EQ(middle->counters().rows, 1u);
}

TEST_F(StageRunnerTest, StepsSayHowLongTheyWereComputed) {
  const auto output_after = [&](net::Duration time) {
    StageOutput output{.tokens = {{TokenId(5)}}, .counts = {1}};
    output.began = clock.steady_now();
    output.ended = output.began + time;
    return output;
  };
  auto middle = runner(2);
  wire::Step begun = step(1);
  begun.computed = {3000, 4000};
  middle->on_step(id(1), begun);
  executor->answer(output_after(milliseconds(2)));
  clock.advance(milliseconds(5));
  EXPECT_EQ(heard[3].all<wire::Step>().at(0).computed, (wire::ComputeTime{3000, 6000}));
  auto last = runner(3);
  last->on_step(id(2), heard[3].all<wire::Step>().at(0));
  executor->answer(output_after(milliseconds(7)));
  clock.advance(milliseconds(5));
  EXPECT_EQ(heard[1].all<wire::StepResult>().at(0).computed, (wire::ComputeTime{7000, 13000}));
}

TEST_F(StageRunnerTest, TheLastStageAnswersTheFirst) {
  auto last = runner(3);
  last->on_step(id(2), step(1));
  executor->answer(StageOutput{.tokens = {{TokenId(5)}}, .counts = {1}});
  last->on_step(id(2), step(2));
  executor->answer(StageOutput{});  // a token is missing
  clock.advance(milliseconds(5));
  const auto results = heard[1].all<wire::StepResult>();
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].tokens[0].token, TokenId(5));
  EXPECT_EQ(heard[1].all<wire::StepFailed>().size(), 1u);
}

// Nodes 1 and 3 are the first stage together; node 2 is the second.
class GroupRunnerTest : public StageRunnerTest {
 protected:
  GroupRunnerTest() {
    record.stages.pop_back();
    record.stages[0].members = {{id(1), 0, 40000}, {id(3), 0, 25536}};
  }
  std::unique_ptr<StageRunner> member() {
    auto made = std::make_unique<StageRunner>(nodes[3]->clock(), nodes[3]->transport(), record, 0);
    load(*made);
    return made;
  }
};

TEST_F(GroupRunnerTest, TheLeaderPassesStepsOnAndHandsOnWhatComesOut) {
  auto leader = runner(1);
  EXPECT_TRUE(leader->is_first());
  leader->run(step(1));
  clock.advance(milliseconds(5));
  ASSERT_EQ(heard[3].all<wire::Step>().size(), 1u);
  EXPECT_EQ(heard[3].all<wire::Step>()[0], step(1));
  executor->answer(StageOutput{.activations = {1, 2}});
  clock.advance(milliseconds(5));
  EXPECT_EQ(heard[2].all<wire::Step>().size(), 1u);
  leader->on_link_down(id(3));
  EXPECT_EQ(executor->interrupted, MicroBatchId(1));
}

TEST_F(GroupRunnerTest, AMemberComputesAndSaysNothing) {
  auto other = member();
  EXPECT_FALSE(other->is_first());
  other->on_step(id(2), step(1));
  EXPECT_TRUE(executor->steps.empty()) << "not from its leader";
  other->on_step(id(1), step(1));
  other->on_step(id(1), step(2));
  ASSERT_EQ(executor->steps.size(), 2u);
  executor->answer(StageOutput{});
  executor->answer(fail(ErrorCode::kUnavailable, "broken"));
  clock.advance(milliseconds(5));
  for (uint32_t n = 1; n <= 3; ++n) EXPECT_TRUE(heard[n].messages.empty()) << n;
  EXPECT_EQ(other->counters().steps, 1u);
  other->on_step(id(1), step(4));
  EXPECT_EQ(executor->steps.back().closed_slots.size(), 4u) << "a step was lost";
}

TEST_F(GroupRunnerTest, AStepThatAMemberCannotHearIsNotComputed) {
  auto leader = runner(1);
  network.kill(id(3));
  clock.advance(std::chrono::seconds(5));
  leader->run(step(1));
  EXPECT_TRUE(executor->steps.empty());
}

TEST_F(StageRunnerTest, OnlyTheStageBeforeMaySendSteps) {
  auto middle = runner(2);
  middle->on_step(id(3), step(1));
  middle->on_step(id(2), step(1));
  EXPECT_TRUE(executor->steps.empty());
  auto first = runner(1);
  first->on_step(id(3), step(1));
  EXPECT_TRUE(executor->steps.empty());
}

TEST_F(StageRunnerTest, RepeatsAreDroppedAndAGapForgetsAllSlots) {
  auto middle = runner(2);
  middle->on_step(id(1), step(1));
  middle->on_step(id(1), step(1));
  EXPECT_EQ(executor->steps.size(), 1u);
  middle->on_step(id(1), step(2));
  EXPECT_TRUE(executor->steps.back().closed_slots.empty());
  middle->on_step(id(1), step(4));
  EXPECT_EQ(executor->steps.back().closed_slots.size(), 4u);
  middle->on_step(id(1), step(5));
  EXPECT_TRUE(executor->steps.back().closed_slots.empty());
}

TEST_F(StageRunnerTest, StepsWaitForTheStageButNotWithoutEnd) {
  auto middle = runner(2, false);
  for (uint64_t i = 1; i <= StageRunner::kMaxWaitingSteps + 1; ++i) middle->on_step(id(1), step(i));
  clock.advance(milliseconds(5));
  const auto failures = heard[1].all<wire::StepFailed>();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].error_code, ErrorCode::kUnavailable);
  load(*middle);
  EXPECT_EQ(executor->steps.size(), StageRunner::kMaxWaitingSteps);
}

TEST_F(StageRunnerTest, ErrorsGoToTheFirstStage) {
  auto middle = runner(2);
  middle->on_step(id(1), step(1));
  executor->answer(fail(ErrorCode::kInvalidArgument, "no"));
  clock.advance(milliseconds(5));
  const auto failures = heard[1].all<wire::StepFailed>();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].error_code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(failures[0].error, "no");
  EXPECT_TRUE(heard[3].messages.empty());
}

TEST_F(StageRunnerTest, WithoutALinkToTheFirstAFailureGoesBack) {
  nodes[3]->transport().disconnect(id(1), "test");
  auto last = runner(3);
  last->on_step(id(2), step(1));
  executor->answer(fail(ErrorCode::kInvalidArgument, "no"));
  clock.advance(milliseconds(5));
  EXPECT_EQ(heard[2].all<wire::StepFailed>().size(), 1u);
}

TEST_F(StageRunnerTest, ALostLinkIsAFailureOfWhatWasHandedOn) {
  auto middle = runner(2);
  middle->on_link_down(id(3));
  middle->on_step(id(1), step(1));
  executor->answer(StageOutput{.activations = {1}});
  middle->on_link_down(id(3));
  clock.advance(milliseconds(5));
  const auto failures = heard[1].all<wire::StepFailed>();
  ASSERT_EQ(failures.size(), 1u);
  EXPECT_EQ(failures[0].micro_batch, MicroBatchId(1));
  EXPECT_EQ(failures[0].error_code, ErrorCode::kUnavailable);
}

TEST_F(StageRunnerTest, LateAnswersOfARemovedExecutorAreIgnored) {
  auto middle = runner(2);
  middle->on_step(id(1), step(1));
  ManualExecutor* old = executor;
  const auto removed = middle->set_executor(nullptr, 0);
  old->answer(StageOutput{.activations = {1}});
  auto ended = runner(2);
  ended->on_step(id(1), step(1));
  auto done = std::move(executor->waiting.front());
  ended.reset();
  done(StageOutput{.activations = {1}});
  clock.advance(milliseconds(5));
  EXPECT_TRUE(heard[3].messages.empty());
  EXPECT_EQ(heard[1].all<wire::StepFailed>().size(), 1u) << "the step under way was given up";
}

}  // namespace
}  // namespace exo::ring
