// An import and a lease, message by message: what enters the cache, and what does not.

#include "serve/cache_import.h"

#include <gtest/gtest.h>

#include "net/simulated_network.h"
#include "serve/cache_lease.h"

namespace exo::serve {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<TokenId> text(int32_t n) {
  std::vector<TokenId> out;
  for (int32_t i = 0; i < n; ++i) out.emplace_back(i);
  return out;
}

// Device 1 lends, device 2 imports and is the ring's only stage; what it is to fill is answered by the test.
class CacheImportTest : public ::testing::Test, public net::TransportListener {
 protected:
  CacheImportTest()
      : network(clock, 1),
        there(network.add_node(net::simulated_node_id(1))),
        here(network.add_node(net::simulated_node_id(2))) {
    lender.owner = this;
    there.transport().add_listener(&lender);
    here.transport().add_listener(this);
    clock.advance(seconds(1));
    PrefixCache::ChainId chain = 0;
    std::vector<BlockId> blocks;
    const auto tokens = text(12);
    for (size_t i = 0; i < 6; ++i) {
      blocks.push_back(*old_cache.allocate());
      chain = old_cache.insert(chain, std::span(tokens).subspan(2 * i, 2), blocks.back());
    }
    old_cache.release(blocks);
  }
  struct Lender final : net::TransportListener {
    void on_link_up(const net::LinkInfo&) override {}
    void on_link_down(const NodeId&, const Error&) override {}
    void on_message(const NodeId& from, wire::Message message) override {
      if (const auto* query = std::get_if<wire::CacheQuery>(&message))
        owner->lease = std::make_unique<CacheLease>(owner->there.clock(), owner->there.transport(),
                                                    owner->old_cache, from, *query);
      if (const auto* release = std::get_if<wire::CacheRelease>(&message)) owner->lease->on_release(*release);
    }
    CacheImportTest* owner = nullptr;
  };
  void on_link_up(const net::LinkInfo&) override {}
  void on_link_down(const NodeId& peer, const Error&) override {
    if (import) import->on_link_down(peer);
  }
  void on_message(const NodeId& from, wire::Message message) override {
    if (const auto* fill = std::get_if<wire::CacheFill>(&message)) {
      fills.push_back(*fill);
      if (answers) import->on_filled(from, {"f", {}, fill->batch, 100, {}});
    }
    if (!import) return;
    if (auto* offer = std::get_if<wire::CacheOffer>(&message)) import->on_offer(from, std::move(*offer));
    if (const auto* released = std::get_if<wire::CacheReleased>(&message)) import->on_released(from, *released);
  }
  void start() {
    CacheImport::Options options{
        .fingerprint = "f", .lender = there.id(), .stages = {here.id()}, .nonce = 1, .batch_blocks = 2};
    options.next_step = [] { return MicroBatchId(1); };
    import = std::make_unique<CacheImport>(here.clock(), here.transport(), new_cache, options,
                                           [this](uint64_t blocks, uint64_t) { carried += blocks;
  });
} size_t cached_here() {
  return new_cache.list(100, 100).size();
}

net::VirtualClock clock;
net::SimulatedNetwork network;
net::SimulatedNode &there, &here;
Lender lender;
PrefixCache old_cache{16, 2}, new_cache{16, 2};
std::unique_ptr<CacheLease> lease;
std::unique_ptr<CacheImport> import;
std::vector<wire::CacheFill> fills;
bool answers = true;
uint64_t carried = 0;
};  // namespace

TEST_F(CacheImportTest, TakesOverWhatIsCachedAndGivesEverythingBack) {
  start();
  EXPECT_TRUE(import->awaits(text(9))) << "nobody knows yet what there is";
  clock.advance(milliseconds(100));
  EXPECT_TRUE(import->over());
  EXPECT_TRUE(lease->over());
  EXPECT_EQ(carried, 6u);
  EXPECT_EQ(cached_here(), 6u);
  EXPECT_EQ(old_cache.available(), 16);
  EXPECT_EQ(new_cache.available(), 16);
  EXPECT_EQ(new_cache.match(text(13)).blocks.size(), 6u);
}

TEST_F(CacheImportTest, WhoseBlocksAreOnTheirWayWaits) {
  answers = false;
  start();
  clock.advance(milliseconds(100));
  ASSERT_EQ(fills.size(), 2u) << "two batches at a time";
  EXPECT_TRUE(import->awaits(text(9)));
  EXPECT_FALSE(import->awaits(text(2))) << "no whole block before its last token";
  auto other = text(9);
  other[0] = TokenId(7);
  EXPECT_FALSE(import->awaits(other));
  EXPECT_EQ(old_cache.available(), 10) << "held";
  import->on_filled(here.id(), {"f", {}, fills[1].batch, 100, {}});
  clock.advance(milliseconds(100));
  EXPECT_EQ(cached_here(), 0u) << "what it follows is missing";
  import->on_filled(here.id(), {"f", {}, fills[0].batch, 100, {}});
  clock.advance(milliseconds(100));
  EXPECT_EQ(cached_here(), 4u);
  EXPECT_FALSE(import->awaits(text(9)));
  EXPECT_TRUE(import->awaits(text(13)));
  clock.advance(seconds(6));
  EXPECT_TRUE(import->over()) << "no block for too long";
  EXPECT_FALSE(import->awaits(text(13)));
  EXPECT_EQ(new_cache.available(), 16);
  EXPECT_EQ(old_cache.available(), 16);
}

// The lease has ended and the blocks may hold something else: they were read, and are of no use.
TEST_F(CacheImportTest, WhatWasNotHeldDoesNotCount) {
  answers = false;
  start();
  clock.advance(milliseconds(100));
  lease->end();
  for (const auto& fill : fills) import->on_filled(here.id(), {"f", {}, fill.batch, 100, {}});
  clock.advance(milliseconds(100));
  EXPECT_TRUE(import->over());
  EXPECT_EQ(carried, 0u);
  EXPECT_EQ(cached_here(), 0u);
  EXPECT_EQ(new_cache.available(), 16);
}

TEST_F(CacheImportTest, AStageThatCannotOrALinkThatIsGoneEndsIt) {
  for (const bool link : {false, true}) {
    answers = false;
    fills.clear();
    start();
    clock.advance(milliseconds(100));
    ASSERT_FALSE(fills.empty());
    if (link) {
      here.transport().disconnect(there.id(), "test");
    } else {
      import->on_filled(here.id(), {"f", {}, fills[0].batch, 0, "no"});
    }
    clock.advance(seconds(1));
    EXPECT_TRUE(import->over());
    EXPECT_EQ(cached_here(), 0u);
    EXPECT_EQ(new_cache.available(), 16);
  }
}

TEST_F(CacheImportTest, ALeaseEndsWhenNothingIsHeardAndRefusesThen) {
  answers = false;
  start();
  clock.advance(milliseconds(100));
  import.reset();
  EXPECT_EQ(old_cache.available(), 10);
  clock.advance(CacheLease::kSilence);
  EXPECT_TRUE(lease->over());
  EXPECT_EQ(old_cache.available(), 16);
}

TEST_F(CacheImportTest, OffersThatContradictThemselvesEndIt) {
  for (int wrong = 0; wrong < 3; ++wrong) {
    start();
    wire::CacheOffer offer{"f", {}, 1, {BlockId(0), BlockId(1)}, {-1, 0}, text(4), true};
    if (wrong == 0) offer.parents[1] = 1;
    if (wrong == 1) offer.tokens.pop_back();
    if (wrong == 2) offer.parents.pop_back();
    import->on_offer(there.id(), offer);
    EXPECT_TRUE(import->over());
    import.reset();
    clock.advance(milliseconds(100));
  }
}

}  // namespace exo::serve
}  // namespace exo::serve
