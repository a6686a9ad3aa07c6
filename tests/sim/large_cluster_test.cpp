// Larger clusters need no more messages per neighbour, forming and formed, and keep their slowest stage busy.
#include "large_cluster.h"

#include <gtest/gtest.h>

namespace exo::sim {
namespace {

TEST(LargeCluster, MessagesGrowLinearlyAndTheSlowestStageIsBusy) {
  const auto small = LargeCluster(8).run(), large = LargeCluster(32).run();
  for (const auto& result : {small, large}) {
    SCOPED_TRACE(result.n_devices);
    ASSERT_TRUE(result.finished);
    EXPECT_GT(result.n_stages, result.n_devices / 2);
    EXPECT_GT(result.tokens_per_s, 0.8 * result.bound_tokens_per_s);
    EXPECT_LT(result.tokens_per_s, 1.05 * result.bound_tokens_per_s);
  }
  const double neighbours = 31.0 / 7;
  EXPECT_LT(large.forming_gossip, 1.2 * neighbours * small.forming_gossip);
  EXPECT_LT(large.heartbeats_per_s, 1.05 * neighbours * small.heartbeats_per_s);
  EXPECT_LT(large.gossip_per_s, 1.2 * neighbours * small.gossip_per_s);
}

}  // namespace
}  // namespace exo::sim
