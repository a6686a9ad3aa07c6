#include "ring/draft_cache.h"

#include <gtest/gtest.h>

namespace exo::ring {
namespace {

using Key = DraftCache::Key;

std::vector<TokenId> ids(int32_t first, int32_t count) {
  std::vector<TokenId> tokens;
  for (int32_t i = 0; i < count; ++i) tokens.emplace_back(first + i);
  return tokens;
}

void fill(DraftCache& cache, const Key& key, const std::vector<TokenId>& tokens) {
  cache.begin_pass();
  const auto known = static_cast<size_t>(cache.align(key, tokens));
  ASSERT_TRUE(cache.reserve(key, static_cast<int32_t>(tokens.size())));
  cache.append(key, std::span(tokens).subspan(known));
}

TEST(DraftCache, KeepsWhatTheNextOrderBeginsWith) {
  DraftCache cache(8, 4);
  const Key key{1, 1};
  auto tokens = ids(0, 10);
  fill(cache, key, tokens);
  EXPECT_EQ(cache.computed(key), 10);
  EXPECT_EQ(cache.blocks(key).size(), 3u);
  tokens[6] = TokenId(99);  // a guess was wrong
  EXPECT_EQ(cache.align(key, tokens), 6);
  EXPECT_EQ(cache.align(key, ids(0, 20)), 6);
  EXPECT_EQ(cache.align(key, ids(5, 3)), 0);
}

TEST(DraftCache, ANewSequenceTakesOverARetiredOneThatBeganAlike) {
  DraftCache cache(8, 4);
  fill(cache, {1, 1}, ids(0, 10));
  fill(cache, {1, 2}, ids(0, 6));
  const BlockId first = cache.blocks({1, 1}).front();
  EXPECT_EQ(cache.align({1, 3}, ids(0, 12)), 0) << "both are in use";
  cache.retire({1, 1});
  cache.retire({1, 2});
  EXPECT_EQ(cache.align({2, 7}, ids(0, 12)), 10);
  EXPECT_EQ(cache.blocks({2, 7}).front(), first);
  EXPECT_EQ(cache.computed({1, 1}), 0);
  EXPECT_EQ(cache.align({2, 8}, ids(50, 3)), 0);
  EXPECT_EQ(cache.align({2, 9}, ids(0, 3)), 3);
}

TEST(DraftCache, RoomIsTakenFromWhoNeedsItLeast) {
  DraftCache cache(6, 4);
  fill(cache, {1, 1}, ids(0, 8));
  fill(cache, {1, 2}, ids(100, 8));
  fill(cache, {1, 3}, ids(200, 8));
  EXPECT_EQ(cache.free_blocks(), 0);
  cache.retire({1, 2});
  fill(cache, {1, 4}, ids(300, 4));
  EXPECT_EQ(cache.align({1, 5}, ids(100, 8)), 0) << "the retired one had to go first";
  EXPECT_EQ(cache.computed({1, 1}), 8);
  fill(cache, {1, 5}, ids(100, 8));
  EXPECT_EQ(cache.computed({1, 1}), 0) << "then who waited longest";
  EXPECT_EQ(cache.computed({1, 3}), 8);
}

TEST(DraftCache, APassDoesNotTakeRoomFromItself) {
  DraftCache cache(4, 4);
  cache.begin_pass();
  cache.align({1, 1}, ids(0, 12));
  EXPECT_TRUE(cache.reserve({1, 1}, 12));
  cache.align({1, 2}, ids(50, 8));
  EXPECT_FALSE(cache.reserve({1, 2}, 8));
  EXPECT_FALSE(cache.reserve({1, 1}, 17)) << "more than there is";
  cache.begin_pass();
  EXPECT_TRUE(cache.reserve({1, 2}, 8));
  cache.drop({1, 2});
  cache.drop({1, 1});
  EXPECT_EQ(cache.free_blocks(), 4);
}

}  // namespace
}  // namespace exo::ring
