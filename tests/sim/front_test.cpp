// The front's promises, one by one, on whole simulated clusters.

#include <gtest/gtest.h>

#include "ring_simulation.h"

namespace exo::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Phase = serve::RequestStatus::Phase;

std::vector<TokenId> prompt_of(int32_t n) {
  std::vector<TokenId> prompt;
  for (int32_t i = 0; i < n; ++i) prompt.emplace_back((7 * i + 3) % ring::testing::kHashVocabulary);
  return prompt;
}

class FrontTest : public SimulationTest {
 protected:
  void start(uint32_t n_nodes, int32_t min_stages, uint64_t memory = 64 * RingSimulation::kMiB) {
    simulation =
        std::make_unique<RingSimulation>(SimulationOptions{.context_tokens = 512, .min_stages = min_stages});
    for (uint32_t n = 1; n <= n_nodes; ++n) simulation->start(n, memory);
    simulation->clock.advance(seconds(2));
  }
  // The longest pause between two tokens.
  static double longest_pause_s(const Client& client) {
    double longest = 0;
    for (size_t i = 1; i < client.token_times.size(); ++i)
      longest = std::max(longest,
                         std::chrono::duration<double>(client.token_times[i] - client.token_times[i - 1]).count());
    return longest;
  }
};

TEST_F(FrontTest, AnswersFromAnyNode) {
  start(3, 3);
  std::vector<std::shared_ptr<Client>> clients;
  for (uint32_t n = 1; n <= 3; ++n) clients.push_back(simulation->ask(n, prompt_of(20), 30));
  ASSERT_TRUE(simulation->settle(seconds(20)));
  EXPECT_EQ(simulation->ring_of(1).size(), 3u);
  for (const auto& client : clients) expect_complete(*client);
  EXPECT_EQ(clients[0]->usage.prompt_tokens, 20);
  EXPECT_EQ(clients[0]->usage.completion_tokens, 30);
  simulation->clock.advance(seconds(2));
  EXPECT_EQ(simulation->leaks(), "");
}

// Longer than a request waits for news; alone (a sleeping laptop) and all together (their machine was stopped).
TEST_F(FrontTest, GoesOnAfterItWasStopped) {
  for (const bool all : {false, true}) {
    start(4, 3);
    const auto warm_up = simulation->ask(1, prompt_of(4), 2);
    ASSERT_TRUE(simulation->settle(seconds(20)));
    for (uint32_t front = 1; front <= 4; ++front) {
      const auto client = simulation->ask(front, prompt_of(20), 200);
      run_until_answer_has(*client, 50);
      for (uint32_t n = 1; n <= 4; ++n)
        if (all || n == front) simulation->network.freeze(RingSimulation::id_of(n));
      simulation->clock.advance(seconds(90));
      for (uint32_t n = 1; n <= 4; ++n) simulation->network.thaw(RingSimulation::id_of(n));
      ASSERT_TRUE(simulation->settle(seconds(60)));
      expect_complete(*client);
    }
  }
}

TEST_F(FrontTest, SurvivesTheDeathOfEachStage) {
  for (const bool seen : {true, false}) {
    for (size_t place = 0; place < 3; ++place) {
      start(4, 3);
      const auto warm_up = simulation->ask(1, prompt_of(4), 2);
      ASSERT_TRUE(simulation->settle(seconds(20)));
      auto ring = simulation->ring_of(1);
      ASSERT_GE(ring.size(), 3u);
      if (place == 2) place = ring.size() - 1;
      const uint32_t victim = ring[place];
      const uint32_t front = victim == 1 ? 2 : 1;
      const auto client = simulation->ask(front, prompt_of(20), 200);
      run_until_answer_has(*client, 50);
      simulation->end(victim, seen);
      ASSERT_TRUE(simulation->settle(seconds(30)));
      expect_complete(*client);
      EXPECT_GE(client->usage.resumed, 1);
      EXPECT_LT(longest_pause_s(*client), seen ? 1.0 : 3.0) << "stage " << place;
    }
  }
}

TEST_F(FrontTest, APlannedLeaveIsNoPause) {
  for (const bool front_leaves : {false, true}) {
    for (size_t place = 0; place < 3; ++place) {
      start(4, 3);
      const auto warm_up = simulation->ask(1, prompt_of(4), 2);
      ASSERT_TRUE(simulation->settle(seconds(20)));
      const auto ring = simulation->ring_of(1);
      ASSERT_GE(ring.size(), 3u);
      const uint32_t leaver = ring[place];
      const uint32_t front = front_leaves ? leaver : leaver == 1 ? 2 : 1;
      std::vector<std::shared_ptr<Client>> clients;
      for (int i = 0; i < 3; ++i) clients.push_back(simulation->ask(front, prompt_of(20 + 9 * i), 110));
      run_until_answer_has(*clients.back(), 50);
      auto& node = *simulation->living.at(leaver);
      node.cluster.withdraw("test");
      node.front.close("test");
      ASSERT_TRUE(simulation->clock.run_until(
          [&] { return node.cluster.holds().empty() && node.front.active_requests() * front_leaves == 0; },
          seconds(20)));
      if (!front_leaves) {
        EXPECT_FALSE(clients.back()->finished) << "the answer should outlive the leaver";
        simulation->leave(leaver);
      }
      ASSERT_TRUE(simulation->settle(seconds(30)));
      for (const auto& client : clients) {
        expect_complete(*client);
        EXPECT_EQ(client->usage.resumed, 0);
        EXPECT_LT(longest_pause_s(*client), 0.1) << "stage " << place;
      }
      simulation->clock.advance(seconds(2));
      EXPECT_EQ(simulation->leaks(), "");
    }
  }
}

TEST_F(FrontTest, AJoinThatPaysMovesRunningRequests) {
  simulation = std::make_unique<RingSimulation>(SimulationOptions{
      .context_tokens = 512, .rebalance = true, .step_time = milliseconds(40), .bytes_per_s = 0.1e9});
  simulation->start(1);
  simulation->clock.advance(seconds(2));
  const auto client = simulation->ask(1, prompt_of(20), 450);
  run_until_answer_has(*client, 20);
  for (uint32_t n : {2u, 3u}) simulation->start(n);
  ASSERT_TRUE(simulation->clock.run_until([&] { return simulation->ring_of(1).size() == 3; }, seconds(60)));
  ASSERT_TRUE(simulation->settle(seconds(30)));
  expect_complete(*client);
  EXPECT_EQ(client->usage.resumed, 0);
  EXPECT_LT(longest_pause_s(*client), 0.5) << "a step takes 40 ms on each of three stages";
}

// Wherever in a block the text is: what the new ring computes while the client waits is little.
TEST_F(FrontTest, AMoveWaitsUntilABlockIsFull) {
  for (int32_t prompt = 20; prompt < 52; prompt += 5) {
    simulation = std::make_unique<RingSimulation>(
        SimulationOptions{.context_tokens = 1024,
                          .block_positions = 32,
                          .rebalance = true,
                          .bytes_per_s = 0.1e9,
                          .step_time_of = [](const wire::InstanceRecord&, int32_t, const wire::Step& step) {
                            int64_t rows = 0;
                            for (const auto& sequence : step.sequences) rows += sequence.n_tokens;
                            return net::Duration(milliseconds(40) + rows * milliseconds(5));
                          }});
    simulation->start(1);
    simulation->clock.advance(seconds(2));
    const auto client = simulation->ask(1, prompt_of(prompt), 450);
    run_until_answer_has(*client, 20);
    for (uint32_t n : {2u, 3u}) simulation->start(n);
    ASSERT_TRUE(simulation->clock.run_until([&] { return simulation->living.at(1)->front.statistics().moved == 1; },
                                            seconds(60)));
    ASSERT_TRUE(simulation->settle(seconds(120)));
    expect_complete(*client);
    EXPECT_EQ(client->usage.resumed, 0);
    // Three stages take 135 ms for a token, and 585 ms for 31 rows of a block.
    EXPECT_LT(longest_pause_s(*client), 0.4) << prompt;
  }
}

TEST_F(FrontTest, ALinkThatFlapsInsideTheRingOnlyPauses) {
  start(3, 3);
  const auto client = simulation->ask(1, prompt_of(20), 300);
  run_until_answer_has(*client, 20);
  const auto ring = simulation->ring_of(1);
  const std::pair<uint32_t, uint32_t> hops[] = {{ring[0], ring[1]}, {ring[1], ring[2]}, {ring[2], ring[0]}};
  for (const auto& [a, b] : hops) {
    (*simulation)[a].net.transport().disconnect(RingSimulation::id_of(b), "flap");
    run_until_answer_has(*client, client->answer.size() + 30);
  }
  ASSERT_TRUE(simulation->settle(seconds(30)));
  expect_complete(*client);
  EXPECT_LT(longest_pause_s(*client), 1.0);
}

TEST_F(FrontTest, RepeatedGapsAndForeignUpdatesChangeNothing) {
  start(3, 3);
  const auto client = simulation->ask(1, prompt_of(20), 200);
  for (size_t part = 1; part <= 3; ++part) {
    run_until_answer_has(*client, 40 * part);
    const auto ring = simulation->ring_of(1);
    const auto epoch = (*simulation)[1].cluster.find_instance(simulation->model.fingerprint)->record.epoch;
    const auto send = [&](uint32_t from, int32_t index, Epoch of) {
      wire::RequestUpdate update{.request = client->id, .epoch = of, .index = index};
      for (int i = 0; i < 5; ++i) update.tokens.push_back({TokenId(1)});
      (*simulation)[from].net.transport().send(RingSimulation::id_of(1), update);
    };
    const auto now = static_cast<int32_t>(20 + client->answer.size());
    send(ring[0], now - 5, epoch);                            // said before
    send(ring[0], now + 20, epoch);                           // something is missing: asked again
    send(ring[1], now, epoch);                                // not the first stage
    send(ring[0], now, {epoch.counter + 1, epoch.proposer});  // of another epoch
  }
  ASSERT_TRUE(simulation->settle(seconds(30)));
  expect_complete(*client);
}

TEST_F(FrontTest, PromptTooLongSaysTheNumbers) {
  start(2, 1);
  const auto client = simulation->ask(1, prompt_of(600), 5);
  ASSERT_TRUE(simulation->settle(seconds(20)));
  ASSERT_TRUE(client->error);
  EXPECT_EQ(client->error->code, ErrorCode::kInvalidArgument);
  EXPECT_NE(client->error->message.find("600"), std::string::npos);
  EXPECT_NE(client->error->message.find("512"), std::string::npos);
}

TEST_F(FrontTest, UnlimitedAnswersEndWithTheContext) {
  start(2, 2);
  const auto client = simulation->ask(1, prompt_of(500), 0);
  ASSERT_TRUE(simulation->settle(seconds(20)));
  EXPECT_EQ(client->reason, wire::FinishReason::kLength);
  EXPECT_EQ(client->answer.size(), 12u);
}

TEST_F(FrontTest, UnknownModelAndEmptyPromptAreRefusedSoon) {
  start(2, 1);
  simulation->model.fingerprint = std::string(64, 'b');
  const auto unknown = simulation->ask(1, prompt_of(5), 5);
  simulation->model.fingerprint = std::string(64, 'a');
  const auto empty = simulation->ask(1, {}, 5);
  EXPECT_FALSE(unknown->finished) << "never at once";
  simulation->clock.advance(seconds(6));
  ASSERT_TRUE(unknown->error);
  EXPECT_EQ(unknown->error->code, ErrorCode::kNotFound);
  ASSERT_TRUE(empty->error);
  EXPECT_EQ(empty->error->code, ErrorCode::kInvalidArgument);
}

TEST_F(FrontTest, AModelThatFitsNowhereSaysWhatIsMissing) {
  start(2, 1, 3 * RingSimulation::kMiB);
  const auto client = simulation->ask(1, prompt_of(5), 5);
  ASSERT_TRUE(simulation->settle(seconds(10)));
  ASSERT_TRUE(client->error);
  EXPECT_EQ(client->error->code, ErrorCode::kResourceExhausted);
}

TEST_F(FrontTest, ARingThatNoLongerFitsEndsSoonWithTheReason) {
  start(2, 2, 9 * RingSimulation::kMiB);
  const auto client = simulation->ask(1, prompt_of(5), 400);
  run_until_answer_has(*client, 10);
  simulation->end(2, true);
  const auto died = simulation->clock.now();
  ASSERT_TRUE(simulation->settle(seconds(60)));
  ASSERT_TRUE(client->error);
  EXPECT_EQ(client->error->code, ErrorCode::kResourceExhausted);
  EXPECT_LT(client->finished_at - died, seconds(8));
  EXPECT_TRUE(client->is_prefix_of_oracle());
}

TEST_F(FrontTest, CancelIsAtOnceAndFreesTheRing) {
  start(3, 3);
  const auto client = simulation->ask(2, prompt_of(30), 400);
  run_until_answer_has(*client, 10);
  simulation->living.at(2)->front.cancel(client->id);
  EXPECT_EQ(client->reason, wire::FinishReason::kCancelled);
  simulation->living.at(2)->front.cancel(client->id);  // unknown now
  simulation->clock.advance(milliseconds(100));
  EXPECT_EQ(simulation->leaks(), "");
}

TEST_F(FrontTest, DeadlineEndsARequest) {
  start(1, 1);
  auto client = std::make_shared<Client>();
  client->clock = &simulation->clock;
  client->request = {.fingerprint = simulation->model.fingerprint, .prompt = prompt_of(5), .max_new_tokens = 400};
  client->request.deadline = milliseconds(500);
  simulation->living.at(1)->front.start(client->request, client);
  simulation->clock.advance(seconds(2));
  ASSERT_TRUE(client->error);
  EXPECT_EQ(client->error->code, ErrorCode::kDeadlineExceeded);
  simulation->clock.advance(seconds(1));
  EXPECT_EQ(simulation->leaks(), "");
}

TEST_F(FrontTest, QueuedRequestsHearTheirPlace) {
  start(2, 2);
  std::vector<std::shared_ptr<Client>> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(simulation->ask(2, prompt_of(10 + i), 60));
  ASSERT_TRUE(simulation->settle(seconds(60)));
  for (const auto& client : clients) expect_complete(*client);
  EXPECT_GE(clients.back()->most_queued, 7);
}

TEST_F(FrontTest, StatusTellsTheWholeStory) {
  start(2, 2);
  const auto client = simulation->ask(1, prompt_of(10), 5);
  ASSERT_TRUE(simulation->settle(seconds(20)));
  const auto first_of = [&](Phase phase) {
    return std::ranges::find(client->phases, phase) - client->phases.begin();
  };
  EXPECT_LT(first_of(Phase::kPlacing), first_of(Phase::kLoading));
  EXPECT_LT(first_of(Phase::kLoading), first_of(Phase::kDecoding));
}

}  // namespace
}  // namespace exo::sim
