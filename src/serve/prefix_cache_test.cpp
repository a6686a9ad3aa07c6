#include "serve/prefix_cache.h"

#include <gtest/gtest.h>

namespace exo::serve {
namespace {

std::vector<TokenId> tokens(std::initializer_list<int32_t> values) {
  std::vector<TokenId> out;
  for (const int32_t value : values) out.emplace_back(value);
  return out;
}

TEST(PrefixCache, FindsWholeBlocksShortOfTheLastToken) {
  PrefixCache cache(4, 2);
  const auto text = tokens({1, 2, 3, 4});
  const std::vector<BlockId> blocks{*cache.allocate(), *cache.allocate()};
  const auto first = cache.insert(0, std::span(text).subspan(0, 2), blocks[0]);
  cache.insert(first, std::span(text).subspan(2, 2), blocks[1]);
  cache.release(blocks);
  EXPECT_EQ(cache.available(), 4);
  auto same = cache.match(text);
  EXPECT_EQ(same.blocks, std::vector{blocks[0]});  // token 4 has to be computed
  auto longer = cache.match(tokens({1, 2, 3, 4, 5}));
  EXPECT_EQ(longer.blocks, blocks);
  EXPECT_EQ(cache.available(), 2);
  EXPECT_TRUE(cache.match(tokens({3, 4, 5})).blocks.empty());  // equal tokens after another prefix
  cache.release(same.blocks);
  cache.release(longer.blocks);
  EXPECT_EQ(cache.available(), 4);
}

TEST(PrefixCache, EvictsTheLeastRecentlyUsedAndLaterBlocksFirst) {
  PrefixCache cache(3, 1);
  const std::vector<BlockId> blocks{*cache.allocate(), *cache.allocate(), *cache.allocate()};
  auto chain = cache.insert(0, tokens({1}), blocks[0]);
  chain = cache.insert(chain, tokens({2}), blocks[1]);
  cache.insert(chain, tokens({3}), blocks[2]);
  EXPECT_FALSE(cache.allocate());
  cache.release(blocks);
  const auto taken = cache.allocate();
  ASSERT_TRUE(taken);
  const auto found = cache.match(tokens({1, 2, 3, 4}));
  EXPECT_EQ(found.blocks.size(), 2u);
  EXPECT_FALSE(cache.allocate()) << "blocks in use are never evicted";
}

TEST(PrefixCache, EqualTokensComputedTwiceAreKeptOnce) {
  PrefixCache cache(4, 1);
  const BlockId a = *cache.allocate(), b = *cache.allocate();
  const auto first = cache.insert(0, tokens({7}), a);
  EXPECT_EQ(cache.insert(0, tokens({7}), b), first);
  cache.release(std::vector{b});
  EXPECT_EQ(cache.match(tokens({7, 8})).blocks, std::vector{a});
  cache.release(std::vector{a, a});
  cache.clear();
  EXPECT_TRUE(cache.match(tokens({7, 8})).blocks.empty());
  EXPECT_EQ(cache.available(), 4);
}

TEST(PrefixCache, WhatIsUsedTakesThePlaceOfItsEqual) {
  PrefixCache cache(3, 1);
  const BlockId a = *cache.allocate();
  const auto chain = cache.insert(0, tokens({7}), a);
  cache.release(std::vector{a});
  const BlockId b = *cache.allocate();
  EXPECT_NE(b, a);
  EXPECT_EQ(cache.insert(0, tokens({7}), b), chain);
  EXPECT_EQ(cache.available(), 2);
  EXPECT_TRUE(cache.allocate() && cache.allocate());
  EXPECT_EQ(cache.match(tokens({7, 8})).blocks, std::vector{b}) << "it is in use, so it was not forgotten";
}

std::vector<int32_t> firsts(const std::vector<PrefixCache::Cached>& listed) {
  std::vector<int32_t> out;
  for (const auto& cached : listed) out.push_back(cached.tokens.front().value);
  return out;
}

TEST(PrefixCache, ListsWhatIsInUseThenWhatWasUsedLastEachAfterItsParent) {
  PrefixCache cache(6, 1);
  const BlockId a = *cache.allocate(), b = *cache.allocate(), c = *cache.allocate(), d = *cache.allocate();
  const auto chain = cache.insert(0, tokens({1}), a);
  cache.insert(cache.insert(chain, tokens({2}), b), tokens({3}), c);
  cache.insert(chain, tokens({9}), d);
  cache.release(std::vector{d});
  cache.release(std::vector{c});  // used later than d
  const auto all = cache.list(10, 10);
  EXPECT_EQ(firsts(all), (std::vector{1, 2, 3, 9}));
  EXPECT_EQ(all[0].parent, -1);
  EXPECT_EQ(all[1].parent, 0);
  EXPECT_EQ(all[2].parent, 1);
  EXPECT_EQ(all[3].parent, 0);
  EXPECT_EQ(all[3].block, d);
  EXPECT_EQ(firsts(cache.list(10, 1)), (std::vector{1, 2, 3})) << "one that nobody uses";
  EXPECT_EQ(firsts(cache.list(2, 10)), (std::vector{1, 2}));
  EXPECT_TRUE(cache.list(0, 10).empty());
  cache.release(std::vector{b, a});
  EXPECT_EQ(cache.list(3, 10).size(), 3u) << "what fits of a text, if not all";
}

TEST(PrefixCache, WhatIsHeldStays) {
  PrefixCache cache(2, 1);
  const BlockId a = *cache.allocate();
  cache.insert(0, tokens({1}), a);
  cache.release(std::vector{a});
  cache.hold(a);
  cache.clear();
  ASSERT_TRUE(cache.allocate());
  EXPECT_FALSE(cache.allocate());
  EXPECT_NE(cache.find(0, tokens({1})), 0u);
  cache.release(std::vector{a});
  EXPECT_TRUE(cache.allocate());
  EXPECT_EQ(cache.find(0, tokens({1})), 0u);
}

TEST(PrefixCache, AdoptsWithoutForgettingAndForgetsWhatWasAdoptedLastFirst) {
  PrefixCache cache(4, 1);
  const BlockId own = *cache.allocate();
  cache.insert(0, tokens({7}), own);
  cache.release(std::vector{own});
  const BlockId a = *cache.allocate_free(0), b = *cache.allocate_free(0);
  EXPECT_FALSE(cache.allocate_free(2)) << "two are to stay";
  const BlockId c = *cache.allocate_free(1);
  EXPECT_FALSE(cache.allocate_free(0)) << "only what is cached is left";
  const auto chain = cache.adopt(0, tokens({1}), a);
  const auto longer = cache.adopt(chain, tokens({2}), b);
  EXPECT_EQ(cache.find(chain, tokens({2})), longer);
  EXPECT_EQ(cache.adopt(0, tokens({1}), c), chain) << "it is here already";
  EXPECT_EQ(cache.available(), 4);
  EXPECT_EQ(cache.allocate(), c) << "free";
  EXPECT_EQ(cache.allocate(), b);
  EXPECT_EQ(cache.allocate(), a);
  EXPECT_EQ(cache.allocate(), own);
}

}  // namespace
}  // namespace exo::serve
