#include "cluster/known_models.h"

#include <gtest/gtest.h>

#include <numeric>

namespace exo::cluster {
namespace {

// Parameters as published, in thousands of millions.
void expect_parameters(const std::string& name, double all, double active) {
  SCOPED_TRACE(name);
  const auto facts = known_model(name + "@F16");
  ASSERT_TRUE(facts);
  const double used = facts->n_experts > 0 ? double(facts->n_experts_used) / facts->n_experts : 1;
  double active_bytes = static_cast<double>(facts->embedding_bytes + facts->head_bytes);
  for (size_t i = 0; i < facts->layer_bytes.size(); ++i) {
    const double experts = facts->expert_bytes.empty() ? 0 : static_cast<double>(facts->expert_bytes[i]);
    active_bytes += static_cast<double>(facts->layer_bytes[i]) - experts * (1 - used);
  }
  EXPECT_NEAR(static_cast<double>(facts->file_bytes) / 2e9, all, all * 0.01);
  if (active > 0) {
    EXPECT_NEAR(active_bytes / 2e9, active, active * 0.03);
  }
}

TEST(KnownModels, HaveThePublishedNumbersOfParameters) {
  expect_parameters("llama-3.2-1b", 1.236, 0);
  expect_parameters("llama-3.2-3b", 3.213, 0);
  expect_parameters("llama-3.1-8b", 8.03, 8.03);
  expect_parameters("llama-3.3-70b", 70.55, 70.55);
  expect_parameters("llama-3.1-405b", 405.85, 405.85);
  expect_parameters("qwen3-235b-a22b", 235.1, 22.2);
  expect_parameters("gpt-oss-120b", 116.8, 5.7);
  expect_parameters("deepseek-v3", 671.0, 37.6);
}

TEST(KnownModels, FormatsScaleTheBytes) {
  const auto half = known_model("llama-3.1-405b@F16"), quarter = known_model("llama-3.1-405b");
  ASSERT_TRUE(half && quarter);
  EXPECT_EQ(quarter->weight_type, "Q4_K");
  EXPECT_NEAR(double(half->layer_bytes[5]) / double(quarter->layer_bytes[5]), 16 / 4.5, 1e-3);
  EXPECT_EQ(quarter->kv_bytes_per_position[0], 2u * 8 * 128 * 2);
  ASSERT_EQ(quarter->formats.size(), 2u);
  EXPECT_EQ(quarter->formats[0].layer_bytes, 126 * quarter->layer_bytes[5]);
  EXPECT_EQ(quarter->formats[1], (wire::FormatBytes{"Q6_K", 0, 0, quarter->head_bytes}));
  EXPECT_EQ(known_model("deepseek-v3")->kv_bytes_per_position[0], 576u * 2);
  EXPECT_EQ(known_model("deepseek-v3")->expert_bytes[2], 0u);  // the first three layers are dense
  EXPECT_GT(known_model("deepseek-v3")->expert_bytes[3], 0u);
}

TEST(KnownModels, OthersAreNamed) {
  const auto unknown = known_model("llama-9@Q4_K");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("qwen3-235b-a22b"), std::string::npos);
  EXPECT_FALSE(known_model("llama-3.1-8b@Q4_Z"));
}

}  // namespace
}  // namespace exo::cluster
