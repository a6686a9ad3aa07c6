#include "app/memory_nodes.h"

#include <gmock/gmock.h>

#include <fstream>
#include <thread>

namespace exo::app {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(MemoryNodes, ListsAreRangesAndNumbers) {
  EXPECT_THAT(numbers_in_list("0\n"), ElementsAre(0));
  EXPECT_THAT(numbers_in_list("0-1,3"), ElementsAre(0, 1, 3));
  EXPECT_THAT(numbers_in_list(""), IsEmpty());
  for (const auto* wrong : {"x", "0,", "1-", "3-1", "-1", "0 1", "0-99999999", "99999999999999"}) {
    EXPECT_THAT(numbers_in_list(wrong), IsEmpty()) << wrong;
  }
}

TEST(MemoryNodes, NodesComeFromTheSystemsFolder) {
  const auto folder = std::filesystem::path(testing::TempDir()) / "exo-memory-nodes";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "has_memory") << "0-1\n";
  EXPECT_THAT(memory_nodes(folder), ElementsAre(0, 1));
  std::filesystem::remove_all(folder);
  EXPECT_THAT(memory_nodes(folder), IsEmpty());
}

// A policy belongs to a thread, so that this changes nobody else's.
TEST(MemoryNodes, ThreadsStartedLaterSpreadTheirMemoryToo) {
  bool refused = false;
  std::thread([&] {
    EXPECT_FALSE(spread_memory({0}));
    refused = memory_is_spread() || !spread_memory({0, 1});
    if (refused) return;
    bool child_spreads = false;
    std::thread([&] { child_spreads = memory_is_spread(); }).join();
    EXPECT_TRUE(memory_is_spread());
    EXPECT_TRUE(child_spreads);
    EXPECT_FALSE(spread_memory({0, 1})) << "what was decided before stays";
  }).join();
  if (refused) GTEST_SKIP() << "the system refuses, or somebody has decided";
}

}  // namespace
}  // namespace exo::app
