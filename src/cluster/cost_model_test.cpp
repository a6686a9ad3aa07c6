// Every number of the cost model, computed by hand.

#include "cluster/cost_model.h"

#include <gtest/gtest.h>

#include "cluster/testing/imagined_cluster.h"

namespace exo::cluster {
namespace {

using testing::device;
using testing::kGiB;

NodeId id(uint32_t n) { return testing::numbered_id(n); }

// Q8_0 stores 32 weights in 34 bytes; a weight is a multiplication and an addition.
constexpr double kOpsPerByte = 2.0 * 32 / 34;

// 4 layers of 200 MB, a head of 100 MB, 10 kB of cache per position and layer, rows of 1000 numbers.
wire::ModelFacts round_model() {
  auto m = testing::model(4, 200'000'000, 77'000'000, 100'000'000);
  m.d_model = 1000;
  m.kv_bytes_per_position.assign(4, 10'000);
  return m;
}

class CostModelTest : public ::testing::Test {
 protected:
  CostModelTest() {
    request.strategy = Strategy::kManual;
    request.manual = {{"device-1", 3}, {"device-2", 1}};
    request.context_tokens = 10'000;  // 100 MB of cache per layer
  }
  Plan plan() {
    auto placed = place(m, devices, links, request);
    if (!placed) ADD_FAILURE() << placed.error().message;
    return placed.value_or(Plan{});
  }
  // Of so many rows with an empty cache, by the first device alone.
  double first_layer_ms(double rows) {
    const auto memory = *StageMemory::of(m, request);
    const CostModel costs(m, devices, links, request, memory);
    Pass pass = costs.decode_pass();
    pass.rows = rows;
    pass.positions = 0;
    return costs.layer_ms({{&devices[0], 1}}, 0, pass);
  }

  wire::ModelFacts m = round_model();
  std::vector<PlacementDevice> devices{device(1, 8 * kGiB, 100e9), device(2, 8 * kGiB, 50e9)};
  std::vector<PlacementLink> links{{id(1), id(2), 2e-3, 4e6}};  // 1 ms one way, 4 kB per ms
  PlacementRequest request;
};

TEST_F(CostModelTest, DecodeReadsWeightsAndCacheOnce) {
  const Plan p = plan();
  // Three layers of 2 ms weights and 1 ms cache, 0.5 ms overhead; one of 4 and 2 ms, and 2 ms of head.
  EXPECT_NEAR(p.stages[0].decode_ms, 0.5 + 3 * (2 + 1), 1e-9);
  EXPECT_NEAR(p.stages[1].decode_ms, 0.5 + 4 + 2 + 2, 1e-9);
  EXPECT_NEAR(p.stages[0].hop_ms, 1 + 1, 1e-9);            // a row is 4000 bytes
  EXPECT_NEAR(p.stages[1].hop_ms, 1 + 64 / 4000.0, 1e-9);  // the token goes back
  EXPECT_NEAR(p.ms_per_token, 9.5 + 8.5 + 2 + 1.016, 1e-9);
  EXPECT_NEAR(p.tokens_per_s_one, 1000 / 21.016, 1e-9);
  EXPECT_NEAR(p.slowest_stage_ms, 9.5, 1e-9);
}

TEST_F(CostModelTest, ManySequencesShareTheWeightsUntilArithmeticBinds) {
  request.concurrency = 4;  // two micro-batches of two rows, a quarter of the cache each
  // 2 × 2500 positions × 10 kB = 50 MB of cache per layer.
  const double first = 0.5 + 3 * (2 + 0.5), second = 0.5 + 4 + 1 + 2;
  const double trip = first + second + (1 + 2) + 1.016;
  EXPECT_NEAR(plan().tokens_per_s, 4e3 / trip, 1e-6);

  links[0].bandwidth_bytes_per_s = 4e9;
  request.concurrency = 64;  // two micro-batches of 32 rows: arithmetic takes longer than reading
  const double layer = 32 * kOpsPerByte * 2e8 / 1e12 * 1e3, head = layer / 2;
  const double cache = 32 * (10'000 / 64.0) * 10'000 / 100e9 * 1e3;  // 0.5 ms
  const double slow_first = 0.5 + 3 * (layer + cache);
  EXPECT_NEAR(plan().tokens_per_s, 64e3 / (2 * slow_first), 1e-6);  // the pipeline's slowest stage binds
  EXPECT_GT(2 * slow_first, slow_first + 0.5 + layer + 2 * cache + head + (1 + 0.032) + 1.1);

  request.concurrency = 1;
  EXPECT_DOUBLE_EQ(plan().tokens_per_s, plan().tokens_per_s_one);
}

TEST_F(CostModelTest, FirstTokenOfAPromptInChunksThroughThePipeline) {
  request.prompt_tokens = 256;  // two chunks of 128
  const double layer = 128 * kOpsPerByte * 2e8 / 1e12 * 1e3;
  // A row of the first chunk sees 64.5 positions on average, of the second 192.5; 4 × 1000 operations per position.
  const double attention[] = {128 * 64.5 * 4000 / 1e12 * 1e3, 128 * 192.5 * 4000 / 1e12 * 1e3};
  const double head = 2;  // of one row: 100 MB at 50 GB/s
  const double first0 = 0.5 + 3 * (layer + attention[0]), first1 = 0.5 + 3 * (layer + attention[1]);
  const double second0 = 0.5 + layer + attention[0], second1 = 0.5 + layer + attention[1] + head;
  const double transfer = 128;  // ms for 128 rows of 4000 bytes at 4 kB per ms
  const double arrived0 = first0 + transfer + 1;
  const double sent1 = std::max(first0 + first1, first0 + transfer) + transfer;  // the link carries one at a time
  const double done0 = arrived0 + second0;
  const double done1 = std::max(done0, sent1 + 1) + second1;
  const Plan p = plan();
  EXPECT_NEAR(p.ttft_ms, done1 + 1.016, 1e-6);
  EXPECT_NEAR(p.stages[0].prefill_ms, first0 + first1, 1e-6);
  EXPECT_NEAR(p.stages[1].prefill_ms, second0 + second1, 1e-6);

  request.prompt_tokens = 1;  // as a decode, but with an empty cache: 4000 operations of attention per layer
  const double row = 1 * 4000 / 1e12 * 1e3;
  EXPECT_NEAR(plan().ttft_ms, 0.5 + 3 * (2 + row) + 2 + 0.5 + 4 + 10'000 / 50e6 + 2 + 1.016, 1e-3);
}

TEST_F(CostModelTest, RatesOfTheModelsFormatAndCorrectionsCount) {
  devices[0].profile.format_rates = {{"Q4_0", 1e9, 1e9}, {"Q8_0", 200e9, 2e12}};
  devices[1].profile.decode_correction = 2;
  Plan p = plan();
  EXPECT_NEAR(p.stages[0].decode_ms, 0.5 + 3 * (1 + 1), 1e-9);  // the cache at 100 GB/s
  EXPECT_NEAR(p.stages[1].decode_ms, 2 * 8.5, 1e-9);
  m.weight_type = "F16";
  devices[0].profile.f32_flops_per_s = 1e9;  // of floats: one operation per byte, 200 ms per layer; attention 40 ms
  p = plan();
  EXPECT_NEAR(p.stages[0].decode_ms, 0.5 + 3 * (200 + 40), 1e-9);
}

TEST_F(CostModelTest, FewRowsCostWhatWasMeasured) {
  for (auto& device : devices) device.profile.format_rates = {{"Q8_0", 100e9, 1e12, 0.2e12}};
  const double reading = 2, row = 2e8 * kOpsPerByte / 0.2e12 * 1e3, many = 128 * 2e8 * kOpsPerByte / 1e12 * 1e3;
  const auto stage_ms = [&](int32_t rows) {
    request.concurrency = rows;
    request.context_tokens = 1;  // nearly no attention
    const auto memory = *StageMemory::of(m, request);
    const CostModel costs(m, devices, links, request, memory);
    Pass pass = costs.decode_pass(rows);
    pass.positions = 0;
    return costs.layer_ms({{&devices[0], 1}}, 0, pass);
  };
  EXPECT_NEAR(stage_ms(1), reading, 1e-9);
  EXPECT_NEAR(stage_ms(4), reading + 3 * row, 1e-9);
  EXPECT_NEAR(stage_ms(8), reading + 7 * row, 1e-9);
  EXPECT_NEAR(stage_ms(68), (reading + 7 * row + many) / 2, 1e-9);  // half-way to 128
  EXPECT_NEAR(stage_ms(128), many, 1e-9);
  EXPECT_NEAR(stage_ms(256), 2 * many, 1e-9);
}

// Q4_0 has 32 weights in 18 bytes, Q6_K 256 in 210.
constexpr double kQ4OpsPerByte = 2.0 * 32 / 18, kQ6OpsPerByte = 2.0 * 256 / 210;

TEST_F(CostModelTest, TheHeadHasAFormatOfItsOwn) {
  m.weight_type = "Q4_0";
  m.formats = {{"Q4_0", 800'000'000, 0, 0}, {"Q6_K", 0, 0, 100'000'000}};
  devices[0].profile.format_rates = {{"Q4_0", 100e9, 1e12, 0.2e12}, {"Q6_K", 50e9, 0.5e12, 0.1e12}};
  const auto memory = *StageMemory::of(m, request);
  const CostModel costs(m, devices, links, request, memory);
  const Team alone{{&devices[0], 1}};
  const double head_row = kQ6OpsPerByte * 1e8 / 0.1e9,
               layer_row = kQ4OpsPerByte * 2e8 / 0.2e9;  // operations per ms
  for (const double rows : {1.0, 4.0, 8.0}) {
    Pass pass = costs.decode_pass(rows);
    pass.positions = 0;
    EXPECT_NEAR(costs.head_ms(alone, pass), 2 + (rows - 1) * head_row, 1e-9) << rows;
    EXPECT_NEAR(costs.layer_ms(alone, 0, pass), 2 + (rows - 1) * layer_row, 1e-9) << rows;
  }
  Pass prompt = costs.prefill_pass(128, 0, true);
  prompt.positions = 0;
  EXPECT_NEAR(costs.head_ms(alone, prompt), 2, 1e-9);  // of one row
  EXPECT_NEAR(costs.layer_ms(alone, 0, prompt), 128 * kQ4OpsPerByte * 2e8 / 1e9, 1e-9);
  prompt.logit_rows = 128;
  EXPECT_NEAR(costs.head_ms(alone, prompt), 128 * kQ6OpsPerByte * 1e8 / 0.5e9, 1e-9);
}

TEST_F(CostModelTest, LayersOfSeveralFormatsTakeTheSum) {
  m.weight_type = "Q4_0";
  m.formats = {{"Q4_0", 600'000'000, 0, 0}, {"Q6_K", 200'000'000, 0, 100'000'000}};  // 150 and 50 MB of a layer
  devices[0].profile.format_rates = {{"Q4_0", 100e9, 1e12}, {"Q6_K", 50e9, 0.5e12}};
  EXPECT_NEAR(first_layer_ms(1), 1.5 + 1, 1e-9);
  EXPECT_NEAR(first_layer_ms(128), 128 * (kQ4OpsPerByte * 1.5e8 / 1e9 + kQ6OpsPerByte * 5e7 / 0.5e9), 1e-9);
}

TEST_F(CostModelTest, ExpertsHaveFormatsOfTheirOwn) {
  m.weight_type = "Q4_0";
  m.expert_bytes.assign(4, 160'000'000);
  m.n_experts = 8;
  m.n_experts_used = 2;
  m.formats = {{"Q4_0", 640'000'000, 640'000'000, 0}, {"Q6_K", 160'000'000, 0, 100'000'000}};
  devices[0].profile.format_rates = {{"Q4_0", 100e9, 1e12}, {"Q6_K", 50e9, 0.5e12}};
  EXPECT_NEAR(first_layer_ms(1), 0.4 + 0.8, 1e-9);  // a quarter of 160 MB, and 40 MB
  // All experts are read, but each row computes with two.
  EXPECT_NEAR(first_layer_ms(128), 128 * (kQ4OpsPerByte * 4e7 / 1e9 + kQ6OpsPerByte * 4e7 / 0.5e9), 1e-9);
}

// A peer may tell anything.
TEST_F(CostModelTest, WhatFormatsDoNotTellIsOfTheUsualOne) {
  m.formats = {{"Q4_0", 0, 7, 0}, {"none", 0, 0, 0}};
  const auto formats = weight_formats(m);
  ASSERT_EQ(formats.size(), 2u);
  EXPECT_EQ(formats[0].type->name, "Q4_0");
  EXPECT_EQ(formats[0].experts, 1);
  EXPECT_EQ(formats[1].type->name, "Q8_0");
  EXPECT_EQ(formats[1].dense, 1);
  EXPECT_EQ(formats[1].head, 1);
  m.formats.clear();
  m.weight_type = "Q6_K_M";
  EXPECT_EQ(weight_formats(m).at(0).type->name, "Q6_K");
  m.weight_type = "";
  EXPECT_EQ(weight_formats(m).at(0).ops_per_byte(), 2);
}

TEST_F(CostModelTest, MembersOfAGroupShareTheCacheUnlessAllHeadsReadOneOfItsHeads) {
  request.context_tokens = 10'000;
  const auto memory = *StageMemory::of(m, request);
  const double cache = static_cast<double>(memory.kv_bytes(1, 3));
  const TeamMember half{&devices[0], 0.5};
  const auto costs_of = [&] { return CostModel(m, devices, links, request, memory); };
  const uint64_t divided = costs_of().need(half, 1, 3);
  const Pass pass = costs_of().decode_pass(1);
  const double ms = costs_of().layer_ms({half}, 1, pass);
  m.kv_whole_in_groups = true;
  EXPECT_EQ(costs_of().need(half, 1, 3), divided + static_cast<uint64_t>(cache / 2));
  EXPECT_NEAR(costs_of().layer_ms({half}, 1, pass), ms + cache / 2 / 2 / 100e9 * 1e3,
              1e-9);  // of one of two layers
}

TEST_F(CostModelTest, UnmeasuredDevicesAndLinksAreAssumedModest) {
  devices[1].profile = {};
  devices[1].profile.memory_budget_bytes = 8 * kGiB;
  links.clear();
  const Plan p = plan();
  EXPECT_NEAR(p.stages[1].decode_ms, 0.1 + 20 + 10 + 10, 1e-9);  // 10 GB/s
  EXPECT_NEAR(p.stages[0].hop_ms, 0.5 + 0.04, 1e-9);             // 1 ms there and back, 100 MB/s
}

TEST_F(CostModelTest, OnlyTheTouchedExpertsAreRead) {
  m.expert_bytes.assign(4, 160'000'000);
  m.n_experts = 8;
  m.n_experts_used = 2;
  request.concurrency = 4;
  const Plan p = plan();
  // One row: 40 MB and a quarter of 160 MB.
  EXPECT_NEAR(p.stages[0].decode_ms, 0.5 + 3 * (0.8 + 1), 1e-9);
  // Two rows miss an expert with (3/4)²: 200 - 160 × 9/16 = 110 MB. Passes cost so much that there are only two.
  for (auto& device : devices) device.profile.step_overhead_s = 2e-3;
  const double first = 2 + 3 * (1.1 + 0.5), second = 2 + 2.2 + 1 + 2;
  EXPECT_NEAR(plan().tokens_per_s, 4e3 / (first + second + 3 + 1.016), 1e-6);
}

TEST_F(CostModelTest, ATensorParallelPairGathersFourTimesPerLayer) {
  request.strategy = Strategy::kTensorParallel;
  m.tensor_parallel_parts = 3;
  m.n_vocab = 500;
  const Plan p = plan();
  ASSERT_EQ(p.stages.size(), 1u);
  ASSERT_EQ(p.stages[0].members.size(), 2u);
  EXPECT_NEAR(p.stages[0].members[0].share, 2.0 / 3, 1e-12);  // device-1 is twice as fast
  EXPECT_EQ(p.stages[0].members[0].device.id, id(1));
  // Two thirds of 5000 packed and 2000 plain numbers go one way, a third of 500 logits the other, at 4 kB per ms.
  const double gathers = 4 * 1 + (5.0 * 36 / 32 + 8) / 4 * 2 / 3, logits = 1 + 4 * 0.5 / 4 / 3;
  EXPECT_NEAR(p.stages[0].exchange_ms, 4 * gathers + logits, 1e-9);
  EXPECT_NEAR(p.ms_per_token, 0.5 + 4 * 2.0 / 3 * (2 + 1) + 2.0 / 3 * 1 + 4 * gathers + logits, 1e-9);
  EXPECT_EQ(p.stages[0].members[1].weight_bytes, (4 * 200'000'000ull + 177'000'000) / 3);
}

TEST_F(CostModelTest, GroupsExchangeNormsOfManyRows) {
  m.feed_forward_width = 3000;
  m.exchanges_norms = true;
  m.n_vocab = 500;
  const StageMemory memory = *StageMemory::of(m, request);
  const CostModel costs(m, devices, links, request, memory);
  const Team pair{{&devices[0], 0.75}, {&devices[1], 0.25}};
  const double made = (1 + 3) * 36 / 32.0, per_ms = 4 / 0.75;  // kB of a row; of D that three quarters of go over
  const auto exchange = [&](const CostModel& of, double rows, int32_t begin, int32_t end) {
    return of.exchange_ms(pair, begin, end, of.prefill_pass(rows, 0, true));
  };
  const double few = 4 * 1 + 31 * (made + 8) / per_ms;
  EXPECT_NEAR(exchange(costs, 31, 0, 3), 3 * few, 1e-9);
  // Norms of both halves, packed, and of each 256 columns a sum; then the residual stream.
  const double many = 6 * 1 + 32 * (made + 2 * 36 / 32.0 + 8.0 / 256) / per_ms;
  EXPECT_NEAR(exchange(costs, 32, 0, 3), 3 * many + 1 + 32 * 4 / per_ms, 1e-9);
  // At the end only of the row that wants logits; these are gathered at the leader, which has most of them.
  EXPECT_NEAR(exchange(costs, 32, 3, 4), many + (1 + 4 / per_ms) + (1 + 2 * 0.25 / 4), 1e-9);
  const Pass pass = costs.prefill_pass(32, 0, true);
  const double middle = costs.overhead_ms(pair, pass) + 3 * costs.layer_ms(pair, 0, pass) + 1 + 32 * 4 / per_ms;
  EXPECT_NEAR(costs.stage_ms(pair, 0, 3, pass), middle, 1e-9);
  const double last = costs.overhead_ms(pair, pass) + costs.layer_ms(pair, 3, pass) + costs.head_ms(pair, pass);
  EXPECT_NEAR(costs.stage_ms(pair, 3, 4, pass), last, 1e-9);
  m.weight_type = "F16";  // nothing is packed
  const CostModel plain(m, devices, links, request, memory);
  EXPECT_NEAR(exchange(plain, 32, 0, 3), 3 * (4 * 1 + 32 * (4 * 4 + 8) / per_ms), 1e-9);
}

TEST_F(CostModelTest, GathersOfMoreDevicesMoveMore) {
  for (uint32_t n : {3u, 4u}) devices.push_back(device(n, 8 * kGiB));
  for (auto& d : devices) d.profile.memory_bandwidth_bytes_per_s = 100e9;
  links.clear();
  for (uint32_t a = 1; a <= 4; ++a) {
    for (uint32_t b = a + 1; b <= 4; ++b) links.push_back({id(a), id(b), 2e-3, 4e6});
  }
  const StageMemory memory = *StageMemory::of(m, request);
  const CostModel costs(m, devices, links, request, memory);
  const auto team = [&](size_t n) {
    Team result;
    for (size_t i = 0; i < n; ++i) result.push_back({&devices[i], 1.0 / static_cast<double>(n)});
    return result;
  };
  const Pass pass = costs.decode_pass();
  const double bytes_ms = (5.0 * 36 / 32 + 8) / 4;
  EXPECT_NEAR(costs.layer_ms(team(2), 0, pass), 3.0 / 2 + 4 * 1 + bytes_ms / 2, 1e-9);
  EXPECT_NEAR(costs.layer_ms(team(3), 0, pass), 3.0 / 3 + 4 * 1 + bytes_ms * 2 / 3, 1e-9);
  EXPECT_NEAR(costs.layer_ms(team(4), 0, pass), 3.0 / 4 + 4 * 1 + bytes_ms * 3 / 4, 1e-9);
  EXPECT_NEAR(costs.hop_ms({{&devices[0], 1}}, team(4), 1),
              1 + 3 + costs.link(devices[0], devices[0]).ms_per_byte * 4000, 1e-9);
}

TEST_F(CostModelTest, LargerThanMemoryIsReadFromDiskWhenAsked) {
  request.manual = {{"device-1", 4}};
  devices[0].profile.memory_budget_bytes = kGiB;
  devices[0].profile.disk_bytes_per_s = 2e9;
  EXPECT_EQ(place(m, devices, links, request).error().code, ErrorCode::kResourceExhausted);
  request.larger_than_memory = true;
  const Plan p = plan();
  const uint64_t need = 977'000'000 + 400'000'000 + 512 * 1000 * 4 * 16 + 100 * 4 * 32;
  const uint64_t missing = need - (kGiB - kGiB / 32);
  EXPECT_EQ(p.stages[0].disk_bytes, missing);
  EXPECT_NEAR(p.ms_per_token, 0.5 + 4 * 3 + 1 + static_cast<double>(missing) / 2e6, 1e-6);
  devices[0].profile.memory_budget_bytes = 100'000'000;  // not even the cache fits
  EXPECT_FALSE(place(m, devices, links, request));
}

TEST_F(CostModelTest, AStageOnItsOwnIsPredictedWithoutCorrections) {
  devices[0].profile.decode_correction = devices[0].profile.prefill_correction = 3;
  const auto prediction = predict_stage(m, devices[0], {LayerIndex(0), LayerIndex(3)}, 10'000);
  ASSERT_TRUE(prediction);
  EXPECT_NEAR(prediction->decode_ms, 9.5, 1e-9);
  const double layer = 128 * kOpsPerByte * 2e8 / 1e12 * 1e3 + 128 * 10'064.5 * 4000 / 1e12 * 1e3;
  EXPECT_NEAR(prediction->prefill_ms_per_row, (0.5 + 3 * layer) / 128, 1e-9);
  EXPECT_FALSE(predict_stage(m, devices[0], {LayerIndex(2), LayerIndex(9)}, 1));
}

}  // namespace
}  // namespace exo::cluster
