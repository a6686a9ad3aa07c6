#include "ring/cache_filler.h"

#include <gtest/gtest.h>

#include "net/simulated_network.h"
#include "ring/cache_server.h"
#include "ring/testing/hash_executor.h"
#include "wire/limits.h"

namespace exo::ring {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HashExecutor;

LayerRange layers(int32_t begin, int32_t end) { return {LayerIndex(begin), LayerIndex(end)}; }

std::vector<BlockId> blocks(std::initializer_list<uint32_t> ids) {
  std::vector<BlockId> out;
  for (const uint32_t id : ids) out.emplace_back(id);
  return out;
}

// One device of a cluster: answers reads from its own stage, and fills it when there is a filler.
struct Device final : net::TransportListener {
  Device(net::SimulatedNetwork& network, uint32_t n, testing::HashLog& log_in, LayerRange own)
      : net(network.add_node(net::simulated_node_id(n))), server(net.transport()) {
    const StageLimits limits{.max_slots = 2,
                             .n_blocks = 8,
                             .block_positions = 4,
                             .max_batch_rows = 32,
                             .first_stage = true,
                             .last_stage = true};
    stage = std::make_unique<HashExecutor>(net.clock(), limits, log_in,
                                           [](const wire::Step&) { return milliseconds(1); });
    stage->set_layers(own);
    net.transport().add_listener(this);
  }
  void on_link_up(const net::LinkInfo&) override {}
  void on_link_down(const NodeId& peer, const Error&) override {
    if (filler) filler->on_link_down(peer);
  }
  void on_message(const NodeId& from, wire::Message message) override {
    if (auto* read = std::get_if<wire::CacheRead>(&message)) {
      reads.push_back(*read);
      if (answers) server.serve(from, std::move(*read), allowed, stage.get());
    } else if (auto* piece = std::get_if<wire::CachePiece>(&message)) {
      pieces.push_back(*piece);
      if (filler) filler->on_piece(from, std::move(*piece));
    } else if (auto* filled_message = std::get_if<wire::CacheFilled>(&message)) {
      filled.push_back(*filled_message);
    }
  }
  // Tokens 0 … n-1 in the blocks.
  wire::Step step(uint64_t number, std::vector<BlockId> table, int32_t first, int32_t n) {
    wire::Step made{.micro_batch = MicroBatchId(number)};
    wire::StepSequence sequence{.slot = SlotId(0), .first = Position(first), .n_tokens = n};
    sequence.blocks = std::move(table);
    made.sequences.push_back(std::move(sequence));
    for (int32_t i = 0; i < n; ++i) made.tokens.emplace_back(first + i);
    return made;
  }
  bool run(wire::Step made) {
    auto ok = std::make_shared<int>(-1);
    stage->execute(std::move(made), [ok](const auto& output) { *ok = output.has_value(); });
    return *ok != 0;
  }

  net::SimulatedNode& net;
  std::unique_ptr<HashExecutor> stage;
  CacheServer server;
  std::unique_ptr<CacheFiller> filler;
  LayerRange allowed = layers(0, 4);
  bool answers = true;
  std::vector<wire::CacheRead> reads;
  std::vector<wire::CachePiece> pieces;
  std::vector<wire::CacheFilled> filled;
};

// Devices 1 and 2 had layers 0 to 1 and 2 to 3; device 3 has all of them now, and device 1 schedules.
class CacheFillerTest : public ::testing::Test {
 protected:
  CacheFillerTest()
      : network(clock, 1),
        a(network, 1, log, layers(0, 2)),
        b(network, 2, log, layers(2, 4)),
        c(network, 3, log, layers(0, 4)) {
    for (Device* device : {&a, &b}) device->run(device->step(1, blocks({5, 2}), 0, 8));
    CacheFiller::Options options{.fingerprint = "f", .epoch = {7, {}}, .scheduler = a.net.id()};
    options.sources = {{a.net.id(), layers(0, 2)}, {b.net.id(), layers(2, 4)}};
    c.filler = std::make_unique<CacheFiller>(c.net.clock(), c.net.transport(), *c.stage, MicroBatchId(0), options);
    clock.advance(seconds(1));
  }
  wire::CacheFill order(uint64_t batch, uint64_t next_step = 1) {
    return {"f", {7, {}}, batch, MicroBatchId(next_step), blocks({5, 2}), blocks({0, 1})};
  }
  // Whether device 3 can go on where the others are.
  bool goes_on(uint64_t number) {
    const size_t before = log.violations.size();
    bool computed = false;
    auto step = c.step(number, blocks({0, 1, 6}), 8, 1);
    c.filler->on_step(step);
    c.stage->execute(std::move(step), [&](const auto& output) { computed = output.has_value(); });
    clock.advance(milliseconds(20));
    return computed && log.violations.size() == before;
  }

  net::VirtualClock clock;
  net::SimulatedNetwork network;
  testing::HashLog log;
  Device a, b, c;
};

TEST_F(CacheFillerTest, EveryLayerComesFromWhoHadIt) {
  EXPECT_FALSE(goes_on(1)) << "nothing is there yet";
  c.filler->fill(order(9, 2));
  clock.advance(milliseconds(20));
  ASSERT_EQ(a.filled.size(), 1u);
  EXPECT_EQ(a.filled[0].batch, 9u);
  EXPECT_EQ(a.filled[0].error, "");
  EXPECT_EQ(a.filled[0].bytes, 4u * 2 * 4 * 16);
  ASSERT_EQ(a.reads.size(), 1u);
  EXPECT_EQ(a.reads[0].layers, layers(0, 2));
  ASSERT_EQ(b.reads.size(), 1u);
  EXPECT_EQ(b.reads[0].layers, layers(2, 4));
  EXPECT_TRUE(goes_on(2));
}

TEST_F(CacheFillerTest, AStepThatUsesABlockEndsItsFilling) {
  a.answers = false;
  c.filler->fill(order(9));
  clock.advance(milliseconds(20));
  c.filler->on_step(c.step(1, blocks({1}), 0, 1));
  clock.advance(milliseconds(20));
  ASSERT_EQ(a.filled.size(), 1u);
  EXPECT_NE(a.filled[0].error, "");
  // What was on its way is not written any more.
  c.stage->execute(c.step(1, blocks({1}), 0, 2), [](const auto&) {});
  a.server.serve(c.net.id(), a.reads[0], layers(0, 2), a.stage.get());
  clock.advance(milliseconds(20));
  bool computed = false;
  c.stage->execute(c.step(2, {}, 2, 1), [&](const auto& output) { computed = output.has_value(); });
  clock.advance(milliseconds(20));
  EXPECT_TRUE(computed);
  EXPECT_TRUE(log.violations.empty());
}

TEST_F(CacheFillerTest, OrdersThatComeLateOrEarlyAreSeenInTheOrderOfSteps) {
  c.filler->on_step(c.step(3, blocks({1}), 0, 1));
  c.filler->fill(order(9, 3));
  clock.advance(milliseconds(20));
  ASSERT_EQ(a.filled.size(), 1u);
  EXPECT_NE(a.filled[0].error, "") << "step 3 was sent after the order and came before";
  c.filler->fill(order(10, 6));
  clock.advance(milliseconds(20));
  EXPECT_TRUE(a.reads.empty()) << "steps 4 and 5 may still use the blocks";
  c.filler->on_step(c.step(4, blocks({0}), 0, 1));
  clock.advance(milliseconds(20));
  EXPECT_TRUE(a.reads.empty());
  c.filler->on_step(c.step(5, {}, 0, 1));
  clock.advance(milliseconds(20));
  ASSERT_EQ(a.filled.size(), 2u);
  EXPECT_EQ(a.filled[1].error, "");
}

TEST_F(CacheFillerTest, WhateverIsWrongEndsABatch) {
  const auto error_of = [&](wire::CacheFill fill) {
    a.filled.clear();
    c.filler->fill(std::move(fill));
    clock.advance(seconds(10));
    EXPECT_EQ(a.filled.size(), 1u);
    return a.filled.empty() ? std::string() : a.filled[0].error;
  };
  auto fill = order(1);
  fill.to = blocks({0});
  EXPECT_NE(error_of(fill), "");
  fill.to = blocks({0, 8});
  EXPECT_NE(error_of(fill), "") << "a block that is not here";
  fill.to.clear(), fill.from.clear();
  EXPECT_NE(error_of(fill), "");
  fill = order(2);
  fill.from = blocks({5, 3});
  EXPECT_NE(error_of(fill), "") << "a block that was never computed there";
  a.answers = false;
  EXPECT_NE(error_of(order(3)), "") << "no answer";
  a.answers = true;
  EXPECT_EQ(error_of(order(4)), "");
  c.filler->fill(order(5));
  network.kill(b.net.id());
  clock.advance(milliseconds(500));
  EXPECT_NE(a.filled.back().error, "") << "the device is gone";
}

TEST_F(CacheFillerTest, TheServerChecksEverythingThatIsAsked) {
  const auto error_of = [&](wire::CacheRead read, LayerRange allowed, StageExecutor* stage) {
    c.pieces.clear();
    a.server.serve(c.net.id(), std::move(read), allowed, stage);
    clock.advance(milliseconds(20));
    EXPECT_EQ(c.pieces.size(), 1u);
    return c.pieces.empty() ? std::string("nothing came") : c.pieces[0].error;
  };
  const wire::CacheRead good{"f", {7, {}}, 1, layers(0, 2), blocks({5}), "hash", 4};
  EXPECT_EQ(error_of(good, layers(0, 4), a.stage.get()), "");
  EXPECT_EQ(c.pieces[0].bytes.size(), 2u * 4 * 16);
  EXPECT_NE(error_of(good, layers(1, 4), a.stage.get()), "");
  EXPECT_NE(error_of(good, layers(0, 4), nullptr), "");
  auto bad = good;
  bad.layers = layers(0, 3);
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "");
  bad.layers = layers(1, 1);
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "");
  bad = good;
  bad.blocks = blocks({8});
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "");
  bad.blocks = blocks({3});
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "") << "not computed";
  bad.blocks.assign(wire::kMaxCachePieceBytes / 128 + 1, BlockId(5));
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "") << "too much at once";
  bad = good;
  bad.type = "F16";
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "");
  bad = good;
  bad.block_positions = 8;
  EXPECT_NE(error_of(bad, layers(0, 4), a.stage.get()), "");
}

}  // namespace
}  // namespace exo::ring
