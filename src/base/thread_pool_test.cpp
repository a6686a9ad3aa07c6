#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <numeric>

namespace exo {
namespace {

TEST(ThreadPool, CoversEveryIndexOnce) {
  for (int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (int64_t count : {0, 1, 2, 7, 64, 1000}) {
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<std::atomic<int>> hits(static_cast<size_t>(count));
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end, int worker) {
          ASSERT_LE(end - begin, grain);
          ASSERT_GE(worker, 0);
          ASSERT_LT(worker, pool.size());
          for (int64_t i = begin; i < end; ++i) hits[static_cast<size_t>(i)]++;
        });
        for (auto& h : hits) ASSERT_EQ(h.load(), 1);
      }
    }
  }
}

TEST(ThreadPool, JobsFollowEachOther) {
  ThreadPool pool(4);
  std::vector<int64_t> values(256, 0);  // plain: a missing barrier is a race
  for (int round = 0; round < 5000; ++round) {
    pool.parallel_for(256, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(255 - i)] += 1;
    });
    ASSERT_EQ(values[static_cast<size_t>(round % 256)], round + 1);
  }
  EXPECT_EQ(std::accumulate(values.begin(), values.end(), int64_t{0}), 256 * 5000);
}

TEST(ThreadPool, NoTwoRangesOfOneWorkerOverlap) {
  ThreadPool pool(4);
  std::vector<std::atomic<int>> inside(4);
  for (int round = 0; round < 200; ++round) {
    pool.parallel_for(32, 1, [&](int64_t, int64_t, int worker) {
      ASSERT_EQ(inside[static_cast<size_t>(worker)]++, 0);
      inside[static_cast<size_t>(worker)]--;
    });
  }
}

TEST(ThreadPool, WakesAfterSleep) {
  ThreadPool pool(2);
  for (int round = 0; round < 3; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::atomic<int> workers_seen{0};
    // Each range waits for the other: only two threads can finish this.
    pool.parallel_for(2, 1, [&](int64_t, int64_t, int) {
      workers_seen++;
      while (workers_seen.load() < 2) std::this_thread::yield();
    });
    ASSERT_EQ(workers_seen.load(), 2);
  }
}

TEST(ThreadPool, IdleUsesNoProcessor) {
  ThreadPool pool(3);
  pool.parallel_for(8, 1, [](int64_t, int64_t, int) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.01);
}

}  // namespace
}  // namespace exo
