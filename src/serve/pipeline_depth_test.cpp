#include "serve/pipeline_depth.h"

#include <gtest/gtest.h>

namespace exo::serve {
namespace {

// Tells `depth` of steps through `n` stages that take `fixed_s` and `row_s` for each row, `link_s` around.
void teach(PipelineDepth& depth, int32_t n, double fixed_s, double row_s, double link_s) {
  depth.set_link_s(link_s);
  for (int i = 0; i < 20; ++i) {
    for (const int32_t rows : {1, 8, 128}) {
      const double stage_s = fixed_s + rows * row_s;
      depth.measure(rows, stage_s, n * stage_s);
    }
  }
}

TEST(PipelineDepth, OneMicroBatchPerStageWithoutLinks) {
  for (const int32_t n : {1, 2, 4}) {
    PipelineDepth depth(n);
    EXPECT_EQ(depth.for_decodes(16), n) << "nothing is known";
    teach(depth, n, 10e-3, 1e-3, 0);
    EXPECT_EQ(depth.for_decodes(16), n);
    EXPECT_EQ(depth.for_chunks(128), n);
  }
}

TEST(PipelineDepth, MoreWhileLinksAreSlow) {
  PipelineDepth depth(2);
  teach(depth, 2, 10e-3, 2e-3, 40e-3);
  // Stages take 26 ms for 8 rows and 18 ms for 4: 92 ms for two micro-batches, 76 ms for four.
  EXPECT_EQ(depth.for_decodes(16), 4);
  EXPECT_EQ(depth.for_decodes(2), 2) << "there is no more to split";
  EXPECT_EQ(depth.for_chunks(128), 3) << "a chunk takes 266 ms";
  EXPECT_EQ(depth.for_chunks(10), 4) << "links take as long as two chunks";
}

TEST(PipelineDepth, NotWhereWeightsAreAllThatCosts) {
  PipelineDepth depth(2);
  teach(depth, 2, 30e-3, 0.1e-3, 10e-3);
  EXPECT_EQ(depth.for_decodes(16), 2) << "three would take 90 ms, two take 72";
}

TEST(PipelineDepth, StagesNeedNotBeAlike) {
  // One stage takes 8 + 2 ms for each row, the two others 1 ms whatever there is.
  const auto with_links_of = [](double link_s) {
    PipelineDepth depth(3);
    depth.set_link_s(link_s);
    for (const int32_t rows : {1, 8, 128}) {
      const double slowest_s = 8e-3 + rows * 2e-3;
      depth.measure(rows, slowest_s, slowest_s + 2e-3);
    }
    return depth;
  };
  // Twelve sequences: three of four rows take max(16 + 2 + l, 48) ms, six of two max(14 + l, 72) ms.
  EXPECT_EQ(with_links_of(25e-3).for_decodes(12), 3);
  // max(16 + 2 + 80, 48) = 98 ms, with four of three max(16 + 80, 56) = 96, with six max(14 + 80, 72) = 94.
  EXPECT_EQ(with_links_of(80e-3).for_decodes(12), 6);
  EXPECT_EQ(with_links_of(80e-3).for_chunks(36), 4) << "the slowest takes 75 ms for a chunk";
}

TEST(PipelineDepth, ATripHasTimeForSoManySteps) {
  PipelineDepth one(1), even(2), uneven(3);
  EXPECT_EQ(even.for_trip(4), 2) << "nothing is known yet";
  teach(one, 1, 10e-3, 1e-3, 0);
  EXPECT_EQ(one.for_trip(4), 1);
  teach(even, 2, 20e-3, 1e-3, 0);
  EXPECT_EQ(even.for_trip(1), 2);
  even.set_link_s(45e-3);
  EXPECT_EQ(even.for_trip(1), 4) << "85 ms around, 20 ms at each stage";
  EXPECT_EQ(even.for_trip(16), 3) << "115 ms, 35 ms";
  even.set_link_s(10);
  EXPECT_LE(even.for_trip(1), 16);
}

TEST(PipelineDepth, WhatIsNotKnownTeachesNothing) {
  PipelineDepth depth(2);
  depth.set_link_s(1);
  for (const int32_t rows : {1, 8, 128}) depth.measure(rows, 0, 0);
  depth.measure(0, 1e-3, 2e-3);
  EXPECT_EQ(depth.for_decodes(16), 2);
  EXPECT_EQ(depth.for_chunks(128), 2);
  EXPECT_EQ(depth.chunk_rows(2000), PipelineDepth(2).chunk_rows(2000));
}

TEST(PipelineDepth, ChunksBalanceFillingAndOverhead) {
  PipelineDepth one(1), two(2), four(4);
  EXPECT_EQ(one.chunk_rows(2000), 2000);
  EXPECT_EQ(two.chunk_rows(0), 0);
  EXPECT_EQ(two.chunk_rows(20), 20) << "too little to divide";
  EXPECT_EQ(two.chunk_rows(2000), 80);  // 25 of √(2000 × 0.4 × 8)
  EXPECT_LT(four.chunk_rows(2000), two.chunk_rows(2000));
  // One row takes as long as 56 rows of a chunk: 9 of √(2000 × 0.4 × 56), and at least as many rows.
  teach(two, 2, 99e-3, 1e-3, 0);
  EXPECT_EQ(two.chunk_rows(2000), 223);
  EXPECT_EQ(two.chunk_rows(150), 75);
}

}  // namespace
}  // namespace exo::serve
