#include "net/path_chooser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "net/simulated_network.h"

namespace exo::net {
namespace {

using namespace std::chrono_literals;
using testing::Contains;

constexpr TimePoint kStart{1h};

// A chooser and what its probes would measure; time passes in steps of a second.
class PathChooserTest : public testing::Test {
 protected:
  void know(const std::vector<std::string>& addresses) { addresses_ = addresses; }
  // The addresses that were measured meanwhile, in order.
  std::vector<std::string> pass(Duration time, bool quiet = true) {
    std::vector<std::string> probed;
    for (const TimePoint end = now_ + time; now_ < end; now_ += 1s) {
      chooser_.set_addresses(addresses_, present_, now_);
      if (const auto better = chooser_.better_path()) {
        present_ = *better;
        chooser_.moved(present_, now_);
        ++moves_;
      }
      while (const auto due = chooser_.next_probe(now_, quiet)) {
        probed.push_back(*due);
        const auto found = quality_.find(*due);
        if (found == quality_.end())
          chooser_.on_failed(*due, "no answer", now_);
        else
          chooser_.on_measured(*due, {found->second.first, found->second.second, "", "eth0"}, now_);
      }
      if (quality_.contains(present_)) chooser_.on_round_trip(quality_[present_].first);
    }
    return probed;
  }

  TimePoint now_ = kStart;
  PathChooser chooser_{kStart};
  std::vector<std::string> addresses_;
  std::map<std::string, std::pair<double, double>> quality_;  // round trip in µs, bandwidth
  std::string present_ = "wifi";
  int moves_ = 0;
};

TEST_F(PathChooserTest, OneAddressIsNeverMeasured) {
  know({"wifi"});
  EXPECT_TRUE(pass(20min).empty());
}

TEST_F(PathChooserTest, MovesToAClearlyBetterPathAfterTwoRounds) {
  know({"wired", "wifi"});
  quality_ = {{"wifi", {3000, 20e6}}, {"wired", {300, 110e6}}};
  EXPECT_TRUE(pass(2s).empty()) << "a link that has just come up is left alone";
  EXPECT_EQ(pass(1s), (std::vector<std::string>{"wifi", "wired"}));
  EXPECT_EQ(moves_, 0) << "one round may be an accident";
  pass(5s);
  EXPECT_EQ(present_, "wired");
  EXPECT_TRUE(pass(9min).empty());
  EXPECT_EQ(pass(2min).size(), 2u) << "again after ten minutes";
  EXPECT_EQ(moves_, 1);
}

TEST_F(PathChooserTest, StaysWhenTheOtherIsNotClearlyBetter) {
  know({"wired", "wifi"});
  quality_ = {{"wifi", {350, 100e6}}, {"wired", {300, 110e6}}};
  pass(1h);
  EXPECT_EQ(present_, "wifi");
  quality_["wired"] = {40, 120e6};
  quality_["wifi"] = {60, 90e6};
  pass(1h);
  EXPECT_EQ(present_, "wifi");
}

TEST_F(PathChooserTest, ADegradedLinkIsMeasuredAgainAndLeft) {
  present_ = "wired";
  know({"wired", "wifi"});
  quality_ = {{"wifi", {3000, 20e6}}, {"wired", {300, 110e6}}};
  EXPECT_EQ(pass(1min).size(), 2u);
  quality_["wired"] = {25'000, 1e6};
  EXPECT_GE(pass(1min).size(), 4u);
  EXPECT_EQ(present_, "wifi");
}

TEST_F(PathChooserTest, NewAddressesAreMeasuredSoonAndDeadOnesNotChosen) {
  know({"wifi"});
  quality_ = {{"wifi", {3000, 20e6}}};
  pass(1min);
  know({"wifi", "wired"});
  EXPECT_THAT(pass(10s), Contains("wired"));
  EXPECT_EQ(present_, "wifi");
  EXPECT_EQ(chooser_.paths()[1].problem, "no answer");
}

TEST_F(PathChooserTest, WaitsForQuietButNotForever) {
  know({"wired", "wifi"});
  quality_ = {{"wifi", {3000, 20e6}}, {"wired", {300, 110e6}}};
  EXPECT_TRUE(pass(25s, false).empty());
  EXPECT_FALSE(pass(15s, false).empty());
}

TEST_F(PathChooserTest, OnlySoManyPaths) {
  std::vector<std::string> many;
  for (int i = 0; i < 100; ++i) many.push_back(std::to_string(i));
  know(many);
  pass(10s);
  EXPECT_EQ(chooser_.paths().size(), PathChooser::kMostPaths);
}

// ---- on the simulated network

struct Counter : TransportListener {
  void on_link_up(const LinkInfo&) override { ++ups; }
  void on_link_down(const NodeId&, const Error&) override { ++downs; }
  void on_message(const NodeId&, wire::Message message) override {
    nonces.push_back(std::get<wire::Ping>(message).nonce);
  }
  int ups = 0, downs = 0;
  std::vector<uint64_t> nonces;
};

TEST(SimulatedPaths, ALinkEndsOnTheBetterPairAndSurvivesItsEndWithoutLosingAMessage) {
  const LinkQuality wifi{.latency = 3ms, .bandwidth_bytes_per_s = 5e6, .interface = "wlan0", .wired = false};
  const LinkQuality wired{.latency = 150us, .bandwidth_bytes_per_s = 110e6, .interface = "eth0"};
  VirtualClock clock;
  SimulatedNetwork network(clock, 1);
  const NodeId a = simulated_node_id(1), b = simulated_node_id(2);
  network.set_paths(a, b, {wifi, wired});
  SimulatedNode& from = network.add_node(a);
  Counter heard, other;
  network.add_node(b).transport().add_listener(&heard);
  from.transport().add_listener(&other);
  uint64_t sent = 0;
  const auto send_for = [&](Duration time) {
    for (const TimePoint end = clock.now() + time; clock.now() < end; clock.advance(7ms)) {
      if (from.transport().links().empty()) continue;
      ASSERT_TRUE(from.transport().send(b, wire::Ping{++sent, static_cast<uint32_t>(sent % 5 == 0 ? 100'000 : 0)}));
    }
  };
  send_for(1s);
  EXPECT_EQ(network.present_path(a, b), 0u);
  send_for(9s);
  EXPECT_EQ(network.present_path(a, b), 1u);
  EXPECT_EQ(from.transport().links().at(0).interface, "eth0");
  network.cut_path(a, b, 1);
  send_for(3s);
  EXPECT_EQ(network.present_path(a, b), 0u) << "fell back";
  network.heal_path(a, b, 1);
  send_for(1min);
  EXPECT_EQ(network.present_path(a, b), 1u) << "and found back";
  network.set_path(a, b, 1, {.latency = 40ms, .bandwidth_bytes_per_s = 1e6, .interface = "eth0"});
  send_for(2min);
  EXPECT_EQ(network.present_path(a, b), 0u) << "it has degraded";
  clock.advance(10s);
  EXPECT_EQ(heard.ups, 1);
  EXPECT_EQ(heard.downs + other.downs, 0);
  ASSERT_EQ(heard.nonces.size(), sent);
  for (uint64_t i = 0; i < sent; ++i) ASSERT_EQ(heard.nonces[i], i + 1) << "order";
}

}  // namespace
}  // namespace exo::net
