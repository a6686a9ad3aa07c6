// Files of imagined clusters, and the worked examples of docs/placement.md.

#include "app/cluster_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "cluster/explain.h"
#include "cluster/known_models.h"
#include "model/synthesize.h"

namespace exo::app {
namespace {

using cluster::PlacementRequest;
using cluster::Strategy;

class ClusterFile : public ::testing::Test {
 protected:
  ClusterFile() : path_(std::filesystem::temp_directory_path() / fmt::format("exo-cluster-{}", ::getpid())) {}
  ~ClusterFile() override { std::filesystem::remove(path_); }
  Result<ImaginedCluster> read(const std::string& text) {
    std::ofstream(path_) << text;
    return read_cluster_file(path_);
  }
  void expect_refused(const std::string& text, const std::string& part) {
    const auto refused = read(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  }

 private:
  const std::filesystem::path path_;
};

TEST_F(ClusterFile, DevicesAndLinksFromToml) {
  const auto cluster = read(R"(
[[devices]]
name = "study"
memory = "64GiB"
bandwidth_gb_s = 400
int8_tops = 20
f32_tflops = 10
disk_mb_s = 3000
overhead_us = 250
[[devices]]
name = "laptop"
memory = "8GB"
[[devices]]
name = "pi"
memory = "4GiB"
[link]
round_trip_ms = 0.4
gbit_s = 1
[[links]]
between = ["pi", "study"]
round_trip_ms = 5
)");
  ASSERT_TRUE(cluster) << cluster.error().message;
  ASSERT_EQ(cluster->devices.size(), 3u);
  const auto& study = cluster->devices[0].profile;
  EXPECT_EQ(cluster->devices[0].name, "study");
  EXPECT_EQ(study.memory_budget_bytes, 64ull << 30);
  EXPECT_DOUBLE_EQ(study.memory_bandwidth_bytes_per_s, 400e9);
  EXPECT_DOUBLE_EQ(study.int8_ops_per_s, 20e12);
  EXPECT_DOUBLE_EQ(study.f32_flops_per_s, 10e12);
  EXPECT_DOUBLE_EQ(study.disk_bytes_per_s, 3e9);
  EXPECT_DOUBLE_EQ(study.step_overhead_s, 250e-6);
  EXPECT_EQ(cluster->devices[1].profile.memory_budget_bytes, 8'000'000'000u);
  ASSERT_EQ(cluster->links.size(), 3u);
  for (const auto& link : cluster->links) {
    const bool special = link.a == cluster->devices[0].id && link.b == cluster->devices[2].id;
    EXPECT_DOUBLE_EQ(link.round_trip_s, special ? 5e-3 : 0.4e-3);
    EXPECT_DOUBLE_EQ(link.bandwidth_bytes_per_s, 125e6);
  }
}

TEST_F(ClusterFile, TheSameFromJson) {
  const auto cluster = read(R"({"devices": [{"name": "a", "memory": "1GiB"}, {"name": "b", "memory": "2GiB"}],
                                "link": {"round_trip_ms": 2, "gbit_s": 8}})");
  ASSERT_TRUE(cluster) << cluster.error().message;
  EXPECT_EQ(cluster->devices[1].profile.memory_budget_bytes, 2ull << 30);
  EXPECT_DOUBLE_EQ(cluster->links[0].bandwidth_bytes_per_s, 1e9);
}

TEST_F(ClusterFile, MistakesAreNamed) {
  expect_refused("", "'devices'");
  expect_refused("devices = 3", "'devices'");
  expect_refused("[[devices]]\nmemory = \"1GiB\"", "needs 'name'");
  expect_refused("[[devices]]\nname = \"a\"\nmemory = \"much\"", "no amount of memory");
  expect_refused("[[devices]]\nname = \"a\"\nmemory = \"1GiB\"\nspeed = 4", "'speed' is not known");
  expect_refused("[[devices]]\nname = \"a\"\nmemory = \"1GiB\"\nint8_tops = 0", "above zero");
  const std::string two =
      "[[devices]]\nname = \"a\"\nmemory = \"1GiB\"\n[[devices]]\nname = \"b\"\nmemory = \"1GiB\"\n";
  expect_refused(two + "[[devices]]\nname = \"a\"\nmemory = \"1GiB\"", "name twice");
  expect_refused(two + "[[links]]\nbetween = [\"a\"]", "between");
  expect_refused(two + "[[links]]\nbetween = [\"a\", \"c\"]", "must name two devices");
  expect_refused("[[devices]\n", "line");
  expect_refused("{\"devices\": [}", "");
  EXPECT_EQ(read_cluster_file("/nowhere/at/all").error().code, ErrorCode::kNotFound);
}

cluster::Plan plan_of(const char* file, const char* model, Strategy strategy) {
  const auto folder = std::filesystem::path(EXO_SOURCE_DIR) / "bench/placement/clusters";
  const auto imagined = read_cluster_file(folder / file);
  const auto facts = cluster::known_model(model);
  if (!imagined || !facts) {
    ADD_FAILURE() << file;
    return {};
  }
  auto plan = cluster::place(*facts, imagined->devices, imagined->links, {.strategy = strategy});
  if (!plan) ADD_FAILURE() << plan.error().message;
  return plan.value_or(cluster::Plan{});
}

// The 405B of docs/placement.md: a layer has 2 d² + 2 d × 1024 + 3 d × 53248 weights of 4.5 bits and two norms.
TEST(WorkedExamples, Llama405b) {
  const double d = 16384;
  const double layer = (2 * d * d + 2 * d * 1024 + 3 * d * 53248) * 4.5 / 8 + 2 * d * 4;
  const double cache = 4096 * 2.0 * 8 * 128 * 2;  // of a layer at 4096 positions
  const double head = 128256 * d * 210 / 256 + d * 4;
  const double studio2 = 0.1 + 33 * (layer + cache) / 700e6;
  const double gaming = 0.1 + 12 * (layer + cache) / 900e6;
  const double studio1 = 0.1 + (81 * (layer + cache) + head) / 700e6;
  const double row = 4 * d, hop = 0.15 + row / 1.25e6;  // 10 Gbit/s: 1.25 MB per ms
  const double back = 0.05 + 64 / 2.5e6;
  const auto plan = plan_of("home-405b.toml", "llama-3.1-405b@Q4_K", Strategy::kFastest);
  ASSERT_EQ(plan.stages.size(), 3u);
  EXPECT_NEAR(plan.stages[0].decode_ms, studio2, 1e-6);
  EXPECT_NEAR(plan.stages[1].decode_ms, gaming, 1e-6);
  EXPECT_NEAR(plan.stages[2].decode_ms, studio1, 1e-6);
  EXPECT_NEAR(plan.ms_per_token, studio2 + gaming + studio1 + 2 * hop + back, 1e-6);
  // As printed in docs/placement.md and README.md.
  EXPECT_NEAR(plan.ms_per_token, 322.12, 0.005);
  EXPECT_NEAR(plan.tokens_per_s_one, 3.1, 0.05);
  EXPECT_NEAR(plan.tokens_per_s, 6.3, 0.05);
  EXPECT_NEAR(plan.ttft_ms, 11'800, 50);
  const auto weighted = plan_of("home-405b.toml", "llama-3.1-405b@Q4_K", Strategy::kRingMemoryWeighted);
  EXPECT_NEAR(weighted.ms_per_token, 360.15, 0.005);

  // Half of every layer on each of the two studios, over Thunderbolt: 0.1 ms there and back, 2.5 MB per ms.
  const double gathers =
      126 * (4 * 0.05 + ((d + 53248) * 36 / 32 + 8 * d) / 2 / 2.5e6) + 0.05 + 4 * 128256 / 2 / 2.5e6;
  const double halves = 0.1 + (126 * (layer + cache) + head) / 2 / 700e6;
  const auto group = plan_of("home-405b.toml", "llama-3.1-405b@Q4_K", Strategy::kAuto);
  ASSERT_EQ(group.stages.size(), 1u);
  EXPECT_EQ(group.stages[0].members.size(), 2u);
  EXPECT_NEAR(group.ms_per_token, halves + gathers, 1e-6);
  EXPECT_NEAR(group.ms_per_token, 194.86, 0.005);
  EXPECT_NEAR(group.tokens_per_s_one, 5.1, 0.05);
}

TEST(WorkedExamples, Llama70b) {
  const double d = 8192;
  const double layer = (2 * d * d + 2 * d * 1024 + 3 * d * 28672) * 4.5 / 8 + 2 * d * 4;
  const double cache = 4096 * 2.0 * 8 * 128 * 2, head = 128256 * d * 210 / 256 + d * 4;
  const double mini = 0.1 + 60 * (layer + cache) / 250e6;
  const double gaming = 0.1 + (20 * (layer + cache) + head) / 330e6;
  const auto plan = plan_of("home-70b.toml", "llama-3.3-70b@Q4_K", Strategy::kAuto);
  ASSERT_EQ(plan.stages.size(), 2u);
  const double hops = 0.25 + 4 * d / 0.125e6 + 0.25 + 64 / 0.125e6;
  EXPECT_NEAR(plan.ms_per_token, mini + gaming + hops, 1e-6);
  EXPECT_NEAR(plan.ms_per_token, 153.32, 0.005);
  EXPECT_NEAR(plan.tokens_per_s_one, 6.5, 0.05);
  EXPECT_NEAR(plan.tokens_per_s, 17.0, 0.05);
  EXPECT_NEAR(plan.ttft_ms, 6742, 0.5);
  EXPECT_EQ(plan.unused, (std::vector<std::string>{"macbook", "laptop"}));
  const auto weighted = plan_of("home-70b.toml", "llama-3.3-70b@Q4_K", Strategy::kRingMemoryWeighted);
  EXPECT_NEAR(weighted.ms_per_token, 388.47, 0.005);
}

// A synthesized file of the same shape is as large as its known sizes say, but for the vocabulary and the header.
TEST(KnownShapes, AgreeWithSynthesizedFiles) {
  for (const char* name : {"llama-3.2-1b", "llama-3-8b", "llama-3.1-70b", "llama-3.1-405b"}) {
    const auto facts = cluster::known_model(fmt::format("{}@Q4_0", name));
    const auto bytes = model::synthesized_bytes({.shape = name, .type = ElementType::kQ4_0});
    ASSERT_TRUE(facts && bytes);
    EXPECT_GT(*bytes, facts->file_bytes);
    EXPECT_LT(*bytes - facts->file_bytes, 8u << 20) << name;
  }
}

}  // namespace
}  // namespace exo::app
