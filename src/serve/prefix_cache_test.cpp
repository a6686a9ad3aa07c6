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

}  // namespace
}  // namespace exo::serve
