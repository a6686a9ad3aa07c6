#include "cluster/step_times.h"

#include <gtest/gtest.h>

#include <cmath>

#include "cluster/stage_predictor.h"
#include "cluster/testing/imagined_cluster.h"

namespace exo::cluster {
namespace {

TEST(RatioAverage, SaysNothingBeforeItKnowsEnoughThenFollowsSlowly) {
  RatioAverage average;
  for (int i = 0; i < kStepsToTrust; ++i) {
    EXPECT_EQ(average.value(), 0);
    average.observe(i % 2 == 0 ? 1.0 : 4.0);
  }
  EXPECT_NEAR(average.value(), 2, 1e-9);  // the geometric mean
  average.observe(1000);                  // a hiccup counts as twice the expected
  EXPECT_NEAR(average.value(), 2 * std::pow(2.0, kStepWeight), 1e-9);
  for (int i = 0; i < 200; ++i) average.observe(3);
  EXPECT_NEAR(average.value(), 3, 1e-3);
  average.observe(0);
  average.observe(-1);
  average.observe(std::nan(""));
  EXPECT_NEAR(average.value(), 3, 1e-3);
}

TEST(StepShape, CountsRowsAndWhatTheyLookBackAt) {
  wire::Step step;
  step.sequences = {{.first = Position(10), .n_tokens = 1, .wants_logits = true},
                    {.first = Position(20), .n_tokens = 3}};
  const MeasuredStep shape = shape_of(step);
  EXPECT_EQ(shape.rows, 4);
  EXPECT_EQ(shape.sequences, 2);
  EXPECT_EQ(shape.logit_rows, 1);
  EXPECT_DOUBLE_EQ(shape.positions, (1 * 11 + 3 * 22.0) / 4);
  EXPECT_EQ(shape_of({}).rows, 0);
}

TEST(StepShape, OfAPeersNonsenseNothingIsLearned) {
  wire::Step step;
  step.sequences.assign(3, {.first = Position(INT32_MAX), .n_tokens = INT32_MAX, .wants_logits = true});
  EXPECT_EQ(shape_of(step).rows, 0);
  step.sequences.assign(2, {.n_tokens = 1 << 30});
  EXPECT_EQ(shape_of(step).rows, 0);
}

class StepTimesTest : public ::testing::Test {
 protected:
  StepTimesTest() {
    times.set_device(device.profile);
    times.add_stage(model, layers);
    predictor = *StagePredictor::make(model, device.profile, layers);
  }
  void decode(double ratio, int steps = 1, int rows = 1) {
    for (int i = 0; i < steps; ++i) {
      const double ms = ratio * predictor->pass_ms({double(rows), double(rows), 100, double(rows), true});
      times.observe(model.fingerprint, {rows, rows, rows, 100, ms});
    }
  }

  const wire::ModelFacts model = testing::model(8, 40 * testing::kMiB);
  const PlacementDevice device = testing::device(1, testing::kGiB);
  const LayerRange layers{LayerIndex(2), LayerIndex(6)};
  std::unique_ptr<StagePredictor> predictor;
  StepTimes times;
};

TEST_F(StepTimesTest, RatiosOfStepsBecomeCorrectionsAndStageTimes) {
  EXPECT_EQ(times.decode_correction(), 0);
  EXPECT_TRUE(times.stage_times().empty());
  decode(1.5, 10);
  decode(1.5, 10, 4);
  EXPECT_NEAR(times.decode_correction(), 1.5, 1e-9);
  EXPECT_EQ(times.prefill_correction(), 0);
  const auto stages = times.stage_times();
  ASSERT_EQ(stages.size(), 1u);
  EXPECT_EQ(stages[0].layers, layers);
  EXPECT_NEAR(stages[0].decode_ms, 1.5 * predictor->predict(kReferencePositions).decode_ms, 1e-9);
  for (int i = 0; i < 20; ++i) {
    times.observe(model.fingerprint, {128, 1, 0, 200, 0.5 * predictor->pass_ms({128, 1, 200, 0, false})});
  }
  EXPECT_NEAR(times.prefill_correction(), 0.5, 1e-9);
  EXPECT_GT(times.stage_times()[0].prefill_ms_per_row, 0);
}

TEST_F(StepTimesTest, AStageInTheCachesCorrectsNothing) {
  auto small = testing::model(8, testing::kMiB);
  small.fingerprint = std::string(64, 'b');
  times.add_stage(small, layers);
  for (int i = 0; i < 50; ++i) times.observe(small.fingerprint, {1, 1, 1, 100, 0.01});
  EXPECT_EQ(times.decode_correction(), 0);
  EXPECT_EQ(times.stage_times().size(), 1u);  // but what it took is told
}

TEST_F(StepTimesTest, WhatIsToldIsSteady) {
  decode(1.0, 20);
  EXPECT_NEAR(times.decode_correction(), 1, 1e-9);
  decode(1.05, 300);
  EXPECT_NEAR(times.decode_correction(), 1, 1e-9);  // within a tenth
  decode(1.3, 300);
  EXPECT_NEAR(times.decode_correction(), 1.3, 1e-2);
}

TEST_F(StepTimesTest, MixedShortAndForeignStepsAreIgnored) {
  for (int i = 0; i < 50; ++i) {
    times.observe(model.fingerprint, {130, 3, 2, 10, 5});
    times.observe(model.fingerprint, {4, 1, 1, 10, 5});
    times.observe("another", {1, 1, 1, 10, 5});
    times.observe(model.fingerprint, {1, 1, 1, 10, 0});
  }
  EXPECT_EQ(times.decode_correction(), 0);
  EXPECT_EQ(times.prefill_correction(), 0);
}

TEST_F(StepTimesTest, ANewMeasurementOfTheDeviceStartsAfresh) {
  decode(2, 20);
  auto faster = device.profile;
  faster.memory_bandwidth_bytes_per_s *= 1.1;
  times.set_device(faster);  // hardly different
  EXPECT_NEAR(times.decode_correction(), 2, 1e-9);
  faster.memory_bandwidth_bytes_per_s *= 3;
  times.set_device(faster);
  EXPECT_EQ(times.decode_correction(), 0);
  times.remove_stage(model.fingerprint);
  EXPECT_TRUE(times.stage_times().empty());
}

}  // namespace
}  // namespace exo::cluster
