#include "cluster/link_meter.h"

#include <gtest/gtest.h>

#include "cluster/testing/simulated_cluster.h"

namespace exo::cluster {
namespace {

using namespace std::chrono_literals;

// A link with a round trip and a bandwidth, asked every quarter of a second.
struct Link {
  net::Duration round_trip = 400us;
  double bytes_per_s = 125e6;
  net::TimePoint now{1h};
  LinkMeter meter{1 << 20};
  std::vector<uint32_t> bursts;

  void run(int pings) {
    for (int i = 0; i < pings; ++i) {
      now += 250ms;
      const uint32_t bytes = meter.next_burst(now);
      if (bytes > 0) bursts.push_back(bytes);
      const auto transfer = net::Duration(static_cast<int64_t>(bytes / bytes_per_s * 1e9));
      meter.on_answer(bytes, round_trip + transfer, now);
    }
  }
};

TEST(LinkMeter, BurstsGrowUntilOneTakesLongEnough) {
  Link gigabit;
  gigabit.run(20);
  EXPECT_EQ(gigabit.bursts, (std::vector<uint32_t>{16 << 10, 64 << 10, 256 << 10, 1 << 20}));
  EXPECT_NEAR(gigabit.meter.bandwidth_bytes_per_s(), 125e6, 2e6);
  EXPECT_NEAR(gigabit.meter.round_trip_us(), 400, 1);
  Link slow;
  slow.bytes_per_s = 1e6;
  slow.run(20);
  EXPECT_EQ(slow.bursts, (std::vector<uint32_t>{16 << 10}));  // 16 ms are enough
  EXPECT_NEAR(slow.meter.bandwidth_bytes_per_s(), 1e6, 1e4);
}

TEST(LinkMeter, MeasuresAgainWhenTheLinkDegradesOrAfterAWhile) {
  Link link;
  link.run(20);
  const size_t first = link.bursts.size();
  link.run(1000);  // 250 s
  EXPECT_EQ(link.bursts.size(), first);
  link.round_trip = 8ms;
  link.bytes_per_s = 5e6;
  link.run(40);
  EXPECT_GT(link.bursts.size(), first);
  EXPECT_NEAR(link.meter.bandwidth_bytes_per_s(), 5e6, 1e6);
  const size_t second = link.bursts.size();
  link.run(2000);
  EXPECT_EQ(link.bursts.size(), second);
  link.run(500);  // more than ten minutes since
  EXPECT_GT(link.bursts.size(), second);
}

TEST(LinkMeter, NothingIsSentWhenItIsOff) {
  Link link;
  link.meter = LinkMeter(0);
  link.run(50);
  EXPECT_TRUE(link.bursts.empty());
  EXPECT_EQ(link.meter.bandwidth_bytes_per_s(), 0);
  EXPECT_GT(link.meter.round_trip_us(), 0);
}

TEST(LinkMeter, BandwidthOfSimulatedLinksIsGossiped) {
  testing::SimulatedCluster sim(3);
  sim.options.link_burst_bytes = 1 << 20;
  net::LinkQuality quality;
  quality.latency = 1ms;
  quality.bandwidth_bytes_per_s = 20e6;
  sim.network.set_default_quality(quality);
  for (uint32_t n : {1u, 2u, 3u}) sim.start(n, 16 << 20);
  sim.advance(5s);
  const auto* seen = sim[3].cluster.find_member(sim.id(1));
  ASSERT_NE(seen, nullptr);
  ASSERT_EQ(seen->links.size(), 2u);
  for (const auto& link : seen->links) {
    EXPECT_NEAR(link.bandwidth_bytes_per_s, 20e6, 2e6);
    EXPECT_NEAR(link.round_trip_us, 2000, 100);
  }
}

}  // namespace
}  // namespace exo::cluster
