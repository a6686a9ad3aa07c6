#include "app/worker.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>

namespace exo::app {
namespace {

TEST(Worker, GoesOnAfterATaskThatThrows) {
  std::atomic<int> done = 0;
  {
    Worker worker;
    EXPECT_TRUE(worker.submit([&] { ++done; }));
    EXPECT_TRUE(worker.submit([] { throw std::runtime_error("a defect"); }));
    EXPECT_TRUE(worker.submit([&] { ++done; }));
    worker.finish();
    EXPECT_FALSE(worker.submit([&] { ++done; }));
  }
  EXPECT_EQ(done, 2);
}

}  // namespace
}  // namespace exo::app
