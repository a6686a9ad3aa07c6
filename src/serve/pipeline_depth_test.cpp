#include "serve/pipeline_depth.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace exo::serve {
namespace {

// Tells `depth` of steps through `n` stages that take `fixed_s` and `row_s` for each row, `link_s` around.
void teach(PipelineDepth& depth, int32_t n, double fixed_s, double row_s, double link_s) {
  depth.set_link_s(link_s);
  for (int i = 0; i < 20; ++i) {
    for (const int32_t rows : {1, 8, 128}) {
      const double stage_s = fixed_s + rows * row_s;
      depth.measure(rows, n, std::max(n * stage_s + link_s, n * stage_s));
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

// A queue before the stages is not taken for the time that they need.
TEST(PipelineDepth, AQueueIsNoReasonForMore) {
  PipelineDepth depth(2);
  depth.set_link_s(40e-3);
  for (int i = 0; i < 100; ++i) {
    const int32_t m = depth.for_decodes(16);
    const int32_t rows = (16 + m - 1) / m;
    const double stage_s = 10e-3 + rows * 2e-3;
    depth.measure(rows, m, std::max(2 * stage_s + 40e-3, m * stage_s));
  }
  EXPECT_GE(depth.for_decodes(16), 3);
  EXPECT_LE(depth.for_decodes(16), 4);
}

TEST(PipelineDepth, ChunksBalanceFillingAndOverhead) {
  PipelineDepth one(1), two(2), four(4);
  EXPECT_EQ(one.chunk_rows(2000), 2000);
  EXPECT_EQ(two.chunk_rows(0), 0);
  EXPECT_EQ(two.chunk_rows(20), 20) << "too little to divide";
  EXPECT_EQ(two.chunk_rows(2000), 91);  // 22 of √(2000 × 0.5 × 8)
  EXPECT_LT(four.chunk_rows(2000), two.chunk_rows(2000));
  // Where reading the weights takes as long as computing 70 rows, chunks have at least as many.
  teach(two, 2, 99e-3, 1e-3, 0);
  EXPECT_EQ(two.chunk_rows(2000), 250);
  EXPECT_EQ(two.chunk_rows(150), 75);
}

}  // namespace
}  // namespace exo::serve
