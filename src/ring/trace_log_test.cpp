#include "ring/trace_log.h"

#include <gtest/gtest.h>

#include "wire/codec.h"
#include "wire/limits.h"

namespace exo::ring {
namespace {

wire::StepTrace step(uint64_t micro_batch) {
  wire::StepTrace trace;
  trace.micro_batch = MicroBatchId(micro_batch);
  return trace;
}

TEST(TraceLog, ReportsTheStepsAndEventsOfOneRequestOldestFirst) {
  TraceLog log;
  const RequestId mine{1, 1}, other{1, 2};
  log.add_event(mine, {.kind = wire::TraceEventKind::kReceived, .at_ns = 1});
  log.add_event(other, {.kind = wire::TraceEventKind::kReceived, .at_ns = 2});
  log.add_event(mine, {.kind = wire::TraceEventKind::kFinished, .at_ns = 9});
  log.add_step(step(1), {mine, other});
  log.add_step(step(2), {other});
  log.add_step(step(3), {mine});
  wire::TraceReply reply;
  log.report(mine, reply);
  ASSERT_EQ(reply.steps.size(), 2u);
  EXPECT_EQ(reply.steps[0].micro_batch.value, 1u);
  EXPECT_EQ(reply.steps[1].micro_batch.value, 3u);
  ASSERT_EQ(reply.events.size(), 2u);
  EXPECT_EQ(reply.events[1].at_ns, 9);
  EXPECT_EQ(log.last_received(), other);
}

TEST(TraceLog, ForgetsTheOldestAndNeverGrowsBeyondItsBound) {
  TraceLog log(100);
  const RequestId request{7, 7};
  for (uint64_t i = 1; i <= 1000; ++i) {
    log.add_step(step(i), std::vector<RequestId>(1 + i % 7, request));
    log.add_event(request, {});
    EXPECT_LE(log.entries(), 200u);
  }
  log.add_step(step(2000), std::vector<RequestId>(100, request));  // more than there is room for
  wire::TraceReply reply;
  log.report(request, reply);
  EXPECT_EQ(reply.steps.back().micro_batch.value, 1000u);
  EXPECT_EQ(reply.events.size(), 100u);
}

TEST(TraceLog, AReportFitsAMessage) {
  TraceLog log(4 * wire::kMaxTraceSteps);
  const RequestId request{7, 7};
  for (uint64_t i = 1; i <= 2 * wire::kMaxTraceSteps; ++i) log.add_step(step(i), {request});
  for (size_t i = 0; i < 2 * wire::kMaxTraceEvents; ++i) log.add_event(request, {});
  wire::TraceReply reply;
  log.report(request, reply);
  EXPECT_EQ(reply.steps.size(), wire::kMaxTraceSteps);
  EXPECT_EQ(reply.steps.back().micro_batch.value, 2 * wire::kMaxTraceSteps) << "the newest are kept";
  EXPECT_EQ(reply.events.size(), wire::kMaxTraceEvents);
  EXPECT_TRUE(wire::encode(reply));
}

}  // namespace
}  // namespace exo::ring
