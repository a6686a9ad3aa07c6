// What a ring has cached goes over to its successor: answers are the same, less is computed, and whatever breaks
// meanwhile only costs computing.

#include <gtest/gtest.h>

#include "ring_simulation.h"

namespace exo::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<TokenId> prompt_of(int32_t n, int32_t salt = 3) {
  std::vector<TokenId> prompt;
  for (int32_t i = 0; i < n; ++i) prompt.emplace_back((7 * i + salt * (i / 5)) % ring::testing::kHashVocabulary);
  return prompt;
}

class CarryTest : public SimulationTest {
 protected:
  static SimulationOptions options(bool carry) {
    SimulationOptions chosen{.context_tokens = 2048, .min_stages = 2};
    chosen.carry_caches = carry;
    chosen.carried_batch_bytes = 4 * 768;  // four blocks
    return chosen;
  }
  void start(SimulationOptions chosen, uint32_t n_nodes) {
    simulation = std::make_unique<RingSimulation>(chosen);
    for (uint32_t n = 1; n <= n_nodes; ++n) simulation->start(n);
    simulation->clock.advance(seconds(2));
  }
  void withdraw(uint32_t leaver) {
    auto& node = *simulation->living.at(leaver);
    node.cluster.withdraw("test");
    node.front.close("test");
    ASSERT_TRUE(simulation->clock.run_until([&] { return node.cluster.holds().empty(); }, seconds(60)));
  }
  // Of the present ring's scheduler.
  serve::SchedulerStatistics statistics() {
    std::optional<serve::SchedulerStatistics> newest;
    Epoch epoch;
    for (auto& [n, node] : simulation->living)
      for (const auto& stage : node->ring.stages())
        if (stage.scheduler && epoch < stage.epoch) {
          epoch = stage.epoch;
          newest = stage.scheduler;
        }
    return newest.value_or(serve::SchedulerStatistics{});
  }
};

TEST_F(CarryTest, ALeaveTakesTheCacheAlong) {
  for (size_t place = 0; place < 3; ++place) {
    uint64_t computed[2] = {};
    for (const bool carry : {false, true}) {
      start(options(carry), 4);
      const auto warm_up = simulation->ask(1, prompt_of(4), 2);
      ASSERT_TRUE(simulation->settle(seconds(20)));
      const uint32_t leaver = simulation->ring_of(1)[place];
      const uint32_t front = leaver == 1 ? 2 : 1;
      const auto client = simulation->ask(front, prompt_of(1000), 400);
      run_until_answer_has(*client, 50);
      withdraw(leaver);
      EXPECT_FALSE(client->finished) << "the answer should outlive the leaver";
      const auto moved = statistics();
      simulation->leave(leaver);
      ASSERT_TRUE(simulation->settle(seconds(60)));
      expect_complete(*client);
      EXPECT_EQ(client->usage.resumed, 0);
      computed[carry] = moved.prompt_tokens;
      EXPECT_EQ(moved.carried_blocks > 0, carry);
      if (!carry) continue;
      EXPECT_GE(moved.carried_blocks, 1000u / 4);
      EXPECT_EQ(moved.carried_bytes, moved.carried_blocks * 12 * 4 * 16);
      simulation->clock.advance(seconds(2));
      EXPECT_EQ(simulation->leaks(), "");
    }
    EXPECT_GT(computed[false], 1000u);
    EXPECT_LT(computed[true], 150u) << "stage " << place;
  }
}

TEST_F(CarryTest, AJoinTakesTheCacheAlong) {
  uint64_t computed[2] = {};
  for (const bool carry : {false, true}) {
    auto chosen = options(carry);
    chosen.min_stages = 1;
    chosen.rebalance = true;
    chosen.step_time = milliseconds(40);
    chosen.bytes_per_s = 0.1e9;
    start(chosen, 1);
    const auto client = simulation->ask(1, prompt_of(1000), 900);
    run_until_answer_has(*client, 20);
    for (uint32_t n : {2u, 3u}) simulation->start(n);
    ASSERT_TRUE(simulation->clock.run_until([&] { return simulation->ring_of(1).size() == 3; }, seconds(60)));
    ASSERT_TRUE(simulation->clock.run_until([&] { return simulation->living.at(1)->front.statistics().moved == 1; },
                                            seconds(60)));
    computed[carry] = statistics().prompt_tokens;
    ASSERT_TRUE(simulation->settle(seconds(120)));
    expect_complete(*client);
    EXPECT_EQ(client->usage.resumed, 0);
  }
  EXPECT_GT(computed[false], 1000u);
  EXPECT_LT(computed[true], 150u);
}

// Nothing runs when the ring changes: what was said before is still known.
TEST_F(CarryTest, ASecondTurnFindsTheFirst) {
  for (const bool carry : {false, true}) {
    start(options(carry), 4);
    const auto first = simulation->ask(1, prompt_of(500), 40);
    ASSERT_TRUE(simulation->settle(seconds(20)));
    const uint32_t leaver = simulation->ring_of(1)[1];
    const uint32_t front = leaver == 1 ? 2 : 1;
    withdraw(leaver);
    simulation->leave(leaver);
    auto history = first->request.prompt;
    history.insert(history.end(), first->answer.begin(), first->answer.end());
    for (int32_t i = 0; i < 10; ++i) history.emplace_back(i);
    const auto second = simulation->ask(front, history, 40);
    ASSERT_TRUE(simulation->settle(seconds(20)));
    expect_complete(*second);
    if (carry) {
      EXPECT_GE(second->usage.cached_tokens, 536);
    } else {
      EXPECT_EQ(second->usage.cached_tokens, 0);
    }
  }
}

// The texts of several requests have a beginning in common.
TEST_F(CarryTest, SharedPrefixesGoOnce) {
  start(options(true), 4);
  const auto warm_up = simulation->ask(1, prompt_of(4), 2);
  ASSERT_TRUE(simulation->settle(seconds(20)));
  const uint32_t leaver = simulation->ring_of(1)[1];
  const uint32_t front = leaver == 1 ? 2 : 1;
  std::vector<std::shared_ptr<Client>> clients;
  for (int32_t i = 0; i < 4; ++i) {
    auto prompt = prompt_of(400);
    for (int32_t k = 0; k < 20; ++k) prompt.emplace_back((k * (i + 2)) % ring::testing::kHashVocabulary);
    clients.push_back(simulation->ask(front, prompt, 200));
  }
  run_until_answer_has(*clients.back(), 30);
  withdraw(leaver);
  const auto moved = statistics();
  EXPECT_GT(moved.carried_blocks, 100u);
  EXPECT_LT(moved.carried_blocks, 100u + 4 * 20u);
  ASSERT_TRUE(simulation->settle(seconds(60)));
  for (const auto& client : clients) expect_complete(*client);
}

}  // namespace
}  // namespace exo::sim
