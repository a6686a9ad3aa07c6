#include "app/departure.h"

#include <gtest/gtest.h>

#include <fstream>

#include "app/strain.h"
#include "cluster/testing/simulated_cluster.h"

namespace exo::app {
namespace {

using namespace std::chrono_literals;

const cluster::StageHold kMovable{"f", "demo", ""}, kStuck{"f", "demo", "3 bytes missing"};

TEST(Departure, WaitsForRequestsAndForStagesThatOthersTakeOver) {
  EXPECT_TRUE(decide_departure({}).leave);
  EXPECT_FALSE(decide_departure({.active_requests = 1}).leave);
  EXPECT_FALSE(decide_departure({.holds = {kMovable}}).leave);
  EXPECT_NE(decide_departure({.holds = {kMovable}}).why.find("demo"), std::string::npos);
}

TEST(Departure, AStageThatNobodyTakesIsKeptOnlyWhileItComputes) {
  EXPECT_FALSE(decide_departure({.holds = {kStuck}, .computes = true}).leave);
  const auto idle = decide_departure({.holds = {kStuck}});
  EXPECT_TRUE(idle.leave);
  EXPECT_NE(idle.why.find("3 bytes missing"), std::string::npos) << "the user must be told";
  EXPECT_FALSE(decide_departure({.holds = {kStuck, kMovable}}).leave);
}

TEST(Departure, NothingIsWaitedForForever) {
  EXPECT_TRUE(decide_departure({.active_requests = 1, .waited = kDepartureDeadline}).leave);
  EXPECT_TRUE(decide_departure({.holds = {kMovable}, .computes = true, .waited = kDepartureDeadline}).leave);
}

// A laptop whose lid is closed while it leaves has its 30 s when it is opened again, and its heirs are not given
// up.
TEST(Departure, TimeInWhichTheDeviceWasStoppedDoesNotCount) {
  cluster::testing::SimulatedCluster sim(1);
  sim.models = {cluster::testing::small_model("demo", 8, 1 << 20)};
  sim.load_time = 20s;  // of the stages that others take over
  auto& leaving = sim.start(1, 64 << 20);
  serve::RingService ring(leaving.link.clock(), leaving.link.transport(), leaving.cluster);
  serve::Front front(leaving.link.clock(), leaving.link.transport(), leaving.cluster);
  Departure departure(leaving.link.clock(), leaving.cluster, ring, front);
  sim.start(2, 64 << 20);
  sim.advance(2s);
  ASSERT_TRUE(leaving.cluster.ensure_instance(sim.models[0].fingerprint).has_value());
  sim.advance(25s);
  departure.begin("test");
  sim.advance(5s);
  ASSERT_FALSE(departure.decide().leave) << departure.decide().why;
  for (const uint32_t n : {1, 2}) sim.network.freeze(sim.id(n));
  sim.advance(120s);
  for (const uint32_t n : {1, 2}) sim.network.thaw(sim.id(n));
  sim.advance(1s);
  EXPECT_FALSE(departure.decide().leave) << "of its 30 s it ran six";
  EXPECT_EQ(leaving.link.transport().links().size(), 1u);
  sim.advance(20s);
  EXPECT_TRUE(departure.decide().leave);
  EXPECT_EQ(departure.decide().why, "");
}

constexpr uint64_t kMiB = uint64_t{1} << 20, kGiB = uint64_t{1} << 30;

class StrainTest : public ::testing::Test {
 protected:
  std::string after(net::Duration time, const StrainReading& reading) {
    now_ += time;
    return judge_.judge(reading, now_);
  }
  StrainJudge judge_;
  net::TimePoint now_ = net::TimePoint{} + 100s;
};

TEST_F(StrainTest, MemoryMustBeLowForAWhileAndWellForLonger) {
  const StrainReading low{.memory_total_bytes = 16 * kGiB, .memory_available_bytes = 200 * kMiB};
  const StrainReading between{.memory_total_bytes = 16 * kGiB, .memory_available_bytes = 400 * kMiB};
  const StrainReading well{.memory_total_bytes = 16 * kGiB, .memory_available_bytes = 4 * kGiB};
  EXPECT_EQ(after(0s, low), "");
  EXPECT_EQ(after(3s, low), "");
  EXPECT_EQ(after(1s, well), "") << "it was a peak";
  EXPECT_EQ(after(1s, low), "");
  EXPECT_EQ(after(3s, low), "");
  EXPECT_NE(after(3s, low).find("200.0 MiB"), std::string::npos);
  EXPECT_NE(after(60s, between), "") << "above the floor, but not twice";
  EXPECT_NE(after(1s, well), "");
  EXPECT_NE(after(20s, well), "");
  EXPECT_EQ(after(11s, well), "");
}

TEST_F(StrainTest, StallsCountWhenLittleIsFree) {
  StrainReading reading{
      .memory_total_bytes = 16 * kGiB, .memory_available_bytes = 1 * kGiB, .memory_stall_percent = 50};
  after(0s, reading);
  EXPECT_NE(after(6s, reading), "");
  reading.memory_available_bytes = 8 * kGiB;
  judge_ = {};
  after(0s, reading);
  EXPECT_EQ(after(6s, reading), "") << "somebody else's limits are at fault";
}

TEST_F(StrainTest, BatteryNearlyEmpty) {
  StrainReading reading{.battery_percent = 9, .discharging = true};
  EXPECT_NE(after(0s, reading), "");
  reading.battery_percent = 12;
  EXPECT_NE(after(0s, reading), "");
  reading.discharging = false;
  EXPECT_EQ(after(0s, reading), "");
  reading = {.battery_percent = 12, .discharging = true};
  EXPECT_EQ(after(0s, reading), "");
  EXPECT_EQ(after(0s, {}), "") << "no battery, nothing known";
}

TEST(Strain, IsReadFromTheSystemsFiles) {
  const auto root = std::filesystem::path(::testing::TempDir()) / "exo-strain-test";
  const auto write = [&](const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  };
  write("proc/meminfo", "MemTotal:       1024 kB\nMemFree:  1 kB\nMemAvailable:    512 kB\n");
  write("proc/pressure/memory",
        "some avg10=1.00 avg60=0 avg300=0 total=1\nfull avg10=42.50 avg60=0 avg300=0 total=1\n");
  write("sys/class/power_supply/AC/type", "Mains\n");
  write("sys/class/power_supply/BAT0/type", "Battery\n");
  write("sys/class/power_supply/BAT0/capacity", "8\n");
  write("sys/class/power_supply/BAT0/status", "Discharging\n");
  write("sys/class/power_supply/mouse/type", "Battery\n");
  write("sys/class/power_supply/mouse/scope", "Device\n");
  write("sys/class/power_supply/mouse/capacity", "90\n");
  const auto reading = read_strain(root);
  EXPECT_EQ(reading.memory_total_bytes, 1 * kMiB);
  EXPECT_EQ(reading.memory_available_bytes, kMiB / 2);
  EXPECT_EQ(reading.memory_stall_percent, 42.5);
  EXPECT_EQ(reading.battery_percent, 8);
  EXPECT_TRUE(reading.discharging);
  EXPECT_FALSE(read_strain(root / "nothing").battery_percent);
  std::filesystem::remove_all(root);
}

}  // namespace
}  // namespace exo::app
