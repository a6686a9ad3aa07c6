// What a request did is known afterwards, from every node and on every node.
#include <gtest/gtest.h>

#include "ring_simulation.h"
#include "wire/codec.h"

namespace exo::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Kind = wire::TraceEventKind;

std::vector<TokenId> prompt(int32_t count) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.emplace_back(i % ring::testing::kHashVocabulary);
  return tokens;
}

class Trace : public testing::Test {
 protected:
  void SetUp() override {
    for (uint32_t n : {1u, 2u, 3u}) sim.start(n);
    sim.clock.advance(seconds(1));
  }
  std::vector<serve::NodeTrace> gather(uint32_t n, const RequestId& request) {
    std::optional<std::vector<serve::NodeTrace>> gathered;
    EXPECT_TRUE(sim[n].traces.gather(request, [&](std::vector<serve::NodeTrace> nodes) {
      EXPECT_FALSE(gathered) << "told twice";
      gathered = std::move(nodes);
    }));
    EXPECT_TRUE(sim.clock.run_until([&] { return gathered.has_value(); }, seconds(5)));
    return gathered.value_or(std::vector<serve::NodeTrace>{});
  }
  static size_t count(const serve::Timeline& timeline, Kind kind) {
    return static_cast<size_t>(
        std::ranges::count_if(timeline.events, [&](const auto& event) { return event.event.kind == kind; }));
  }

  RingSimulation sim{{.min_stages = 3}};
};

TEST(Timeline, NothingIsBeforeTheRequestWasReceived) {
  std::vector<serve::NodeTrace> nodes(2);
  nodes[0].events = {{.kind = Kind::kQueued, .at_ns = 900'000}, {.kind = Kind::kAdmitted, .at_ns = 1'200'000}};
  nodes[0].offset_ns = 50'000;  // not known better
  nodes[1].events = {{.kind = Kind::kReceived, .at_ns = 1'000'000}};
  const auto timeline = serve::make_timeline({0, 1}, nodes);
  std::vector<std::pair<Kind, double>> events;
  for (const auto& event : timeline.events) events.emplace_back(event.event.kind, event.at_ms);
  EXPECT_EQ(events, (std::vector<std::pair<Kind, double>>{
                        {Kind::kReceived, 0.0}, {Kind::kQueued, 0.0}, {Kind::kAdmitted, 0.25}}));
}

TEST_F(Trace, EveryNodeTellsTheWholeWayOfARequest) {
  const auto client = sim.ask(3, prompt(9), 5);
  ASSERT_TRUE(sim.settle(seconds(30)));
  for (uint32_t asked : {1u, 2u, 3u}) {
    const auto nodes = gather(asked, client->id);
    ASSERT_EQ(nodes.size(), 3u);
    EXPECT_EQ(nodes[0].node, sim.id_of(asked));
    for (const auto& node : nodes) {
      EXPECT_TRUE(node.reached);
      EXPECT_LE(std::abs(node.offset_ns), node.uncertainty_ns) << "all clocks of a simulation are one";
    }
    const auto timeline = serve::make_timeline(client->id, nodes);
    for (const Kind kind :
         {Kind::kReceived, Kind::kSubmitted, Kind::kQueued, Kind::kAdmitted, Kind::kFirstToken, Kind::kFinished})
      EXPECT_EQ(count(timeline, kind), 1u) << serve::event_name(kind);
    EXPECT_EQ(timeline.events.front().event.kind, Kind::kReceived);
    EXPECT_EQ(timeline.events.back().event.value, 5);
    ASSERT_GE(timeline.steps.size(), 5u);
    for (const auto& step : timeline.steps) {
      ASSERT_EQ(step.passages.size(), 3u);
      ASSERT_TRUE(step.launched_ms && step.answered_ms);
      double sum_ms = 0;
      for (const auto& passage : step.passages) {
        EXPECT_NEAR(passage.compute_ms, 2, 1e-6);
        ASSERT_TRUE(passage.hop_ms);
        sum_ms += passage.queue_ms + passage.compute_ms + passage.send_ms + *passage.hop_ms;
      }
      EXPECT_NEAR(sum_ms, *step.answered_ms - *step.launched_ms, 0.1) << "the parts make up the whole";
      EXPECT_GT(step.passages[0].sent_bytes, 0u);
      EXPECT_EQ(step.passages[2].sent_bytes, 0u);
    }
    ASSERT_GE(timeline.means.size(), 3u);
    EXPECT_TRUE(timeline.means[0].prefill);
  }
  EXPECT_EQ(sim[3].traces.last_received(), client->id);
}

TEST_F(Trace, RunningRequestsOfAllFrontsAreListed) {
  sim.ask(1, prompt(4), 40);
  sim.ask(2, prompt(4), 40);
  ASSERT_TRUE(sim.clock.run_until(
      [&] { return sim.clients[0]->answer.size() > 3 && sim.clients[1]->answer.size() > 3; }, seconds(30)));
  std::optional<std::vector<serve::NodeTrace>> gathered;
  ASSERT_TRUE(
      sim[3].traces.gather_running([&](std::vector<serve::NodeTrace> nodes) { gathered = std::move(nodes); }));
  ASSERT_TRUE(sim.clock.run_until([&] { return gathered.has_value(); }, seconds(5)));
  size_t running = 0;
  for (const auto& node : *gathered)
    for (const auto& request : node.running) {
      ++running;
      EXPECT_EQ(request.phase, wire::RequestPhase::kDecoding);
      EXPECT_EQ(request.prompt_tokens, 4);
      EXPECT_GT(request.completion_tokens, 3);
      EXPECT_GT(request.tokens_per_s, 10);
    }
  EXPECT_EQ(running, 2u);
}

TEST_F(Trace, ADeathIsInTheTraceAndASilentNodeDoesNotHoldUpTheAnswer) {
  const auto client = sim.ask(3, prompt(9), 60);
  ASSERT_TRUE(sim.clock.run_until([&] { return client->answer.size() > 3; }, seconds(30)));
  const auto ring = sim.ring_of(3);
  const uint32_t victim = ring[0] == 3 ? ring[1] : ring[0];
  sim.network.freeze(sim.id_of(victim));
  const auto began = sim.clock.now();
  const auto nodes = gather(3, client->id);
  EXPECT_LE(sim.clock.now() - began, serve::TraceService::kDeadline + milliseconds(10));
  EXPECT_EQ(std::ranges::count_if(nodes, [](const auto& node) { return node.reached; }), 2);
  EXPECT_FALSE(serve::make_timeline(client->id, nodes).empty());
}

TEST(Timeline, HostileTimesAreOnlyNumbers) {
  serve::NodeTrace node;
  node.offset_ns = INT64_MAX;
  for (const int64_t ns : {INT64_MIN, INT64_MAX, int64_t{0}, int64_t{-1}}) {
    node.events.push_back({.kind = Kind::kReceived, .at_ns = ns});
    node.steps.push_back({.arrived_ns = ns, .began_ns = ns / 2, .sent_ns = ns});
  }
  const auto timeline = serve::make_timeline({1, 2}, {node, node});
  EXPECT_EQ(timeline.events.size(), 8u);
}

}  // namespace
}  // namespace exo::sim
