// What a handler throws ends that handler, and nothing else.

#include "net/event_loop.h"

#include <gtest/gtest.h>

#include <future>
#include <new>
#include <stdexcept>
#include <thread>

#include "net/caught.h"

namespace exo::net {
namespace {

using namespace std::chrono_literals;

TEST(EventLoop, GoesOnAfterAHandlerThatThrows) {
  EventLoop loop;
  loop.start();
  std::promise<void> reached;
  loop.post([] { throw std::runtime_error("a defect"); });
  loop.post([] { throw std::bad_alloc(); });
  loop.post([&] { loop.run_after(1ms, [] { throw std::runtime_error("another"); }); });
  loop.post([&] { loop.run_after(5ms, [&] { reached.set_value(); }); });
  EXPECT_EQ(reached.get_future().wait_for(10s), std::future_status::ready);
}

TEST(EventLoop, NobodyWaitsForEverForACallbackThatThrows) {
  EventLoop loop;
  loop.start();
  auto waited = std::make_shared<std::promise<void>>();
  auto future = waited->get_future();
  std::thread waits([&loop, waited] {
    loop.run_and_wait([] { throw std::runtime_error("a defect"); });
    waited->set_value();
  });
  const bool ended = future.wait_for(10s) == std::future_status::ready;
  EXPECT_TRUE(ended);
  ended ? waits.join() : waits.detach();
}

TEST(Caught, WhatIsThrownIsAnError) {
  EXPECT_EQ(caught([]() -> Result<int> { return 7; }).value(), 7);
  EXPECT_EQ(caught([]() -> Status { return fail(ErrorCode::kNotFound, "not here"); }).error().code,
            ErrorCode::kNotFound);
  const auto thrown = caught([]() -> Result<int> { throw std::runtime_error("a defect"); });
  EXPECT_EQ(thrown.error().code, ErrorCode::kInternal);
  EXPECT_EQ(thrown.error().message, "a defect");
  EXPECT_EQ(caught([]() -> Status { throw std::bad_alloc(); }).error().code, ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace exo::net
