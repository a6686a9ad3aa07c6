// The pool of systems without threads: the caller does everything.
#include <algorithm>

#include "base/thread_pool.h"

namespace exo {

struct ThreadPool::Threads {};

int ThreadPool::physical_cores() { return 1; }
ThreadPool::ThreadPool(int) {}
ThreadPool::~ThreadPool() = default;

void ThreadPool::parallel_for(int64_t count, int64_t grain, RangeTask task) {
  grain = std::max<int64_t>(1, grain);
  for (int64_t begin = 0; begin < count; begin += grain) task(begin, std::min(count, begin + grain), 0);
}

}  // namespace exo
