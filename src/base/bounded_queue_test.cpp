#include "base/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace exo {
namespace {

TEST(BoundedQueue, RefusesBeyondItsBoundAndWakesOnClose) {
  BoundedQueue<int> queue(1);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_FALSE(queue.try_push(2));
  EXPECT_EQ(queue.pop(), 1);
  std::jthread closer([&] { queue.close(); });
  EXPECT_EQ(queue.pop(), std::nullopt);
  EXPECT_FALSE(queue.try_push(3));
}

}  // namespace
}  // namespace exo
