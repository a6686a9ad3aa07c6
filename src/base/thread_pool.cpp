#include "base/thread_pool.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace exo {
namespace {

// About 50 µs on current cores: longer than the gaps between a model's operations, shorter than anybody notices.
constexpr int kSpins = 1500;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

#ifdef __linux__
bool read_int(const char* pattern, int cpu, int& value) {
  char path[128];
  std::snprintf(path, sizeof path, pattern, cpu);
  std::FILE* file = std::fopen(path, "r");
  if (!file) return false;
  const bool ok = std::fscanf(file, "%d", &value) == 1;
  std::fclose(file);
  return ok;
}
#endif

}  // namespace

int ThreadPool::physical_cores() {
  const int logical = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#ifdef __linux__
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return logical;
  std::set<std::pair<int, int>> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    int package = 0, core = cpu;
    read_int("/sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu, package);
    read_int("/sys/devices/system/cpu/cpu%d/topology/core_id", cpu, core);
    cores.emplace(package, core);
  }
  return std::max(1, static_cast<int>(cores.size()));
#else
  return logical;
#endif
}

struct ThreadPool::Threads {
  std::vector<std::thread> list;
};

ThreadPool::ThreadPool(int threads)
    : threads_(std::make_unique<Threads>()), size_(threads > 0 ? threads : physical_cores()) {
  threads_->list.reserve(static_cast<size_t>(size_ - 1));
  for (int worker = 1; worker < size_; ++worker) threads_->list.emplace_back([this, worker] { work(worker); });
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  bell_.fetch_add(1);
  bell_.notify_all();
  for (auto& thread : threads_->list) thread.join();
}

void ThreadPool::parallel_for(int64_t count, int64_t grain, RangeTask task) {
  if (count <= 0) return;
  grain = std::max<int64_t>(1, grain);
  if (size_ == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) task(begin, std::min(count, begin + grain), 0);
    return;
  }
  job_ = {&task, count, grain};
  next_.store(0, std::memory_order_relaxed);
  const uint64_t number = (state_.load(std::memory_order_relaxed) >> 32) + 1;
  state_.store((number << 32) | kOpen, std::memory_order_release);
  bell_.fetch_add(1);
  if (sleepers_.load() > 0) bell_.notify_all();

  run_chunks(0);
  // From here nobody new may join; those inside finish their last chunk.
  uint64_t state = state_.fetch_and(~kOpen, std::memory_order_acq_rel) & ~kOpen;
  for (int spin = 0; (state & (kOpen - 1)) != 0; ++spin) {
    if (spin < kSpins) {
      relax();
    } else {
      state_.wait(state);
    }
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::run_chunks(int worker) {
  const Job job = job_;
  for (;;) {
    const int64_t begin = next_.fetch_add(job.grain, std::memory_order_relaxed);
    if (begin >= job.count) return;
    (*job.task)(begin, std::min(job.count, begin + job.grain), worker);
  }
}

bool ThreadPool::enter(uint32_t& seen) {
  uint64_t state = state_.load(std::memory_order_acquire);
  for (;;) {
    if ((state & kOpen) == 0 || static_cast<uint32_t>(state >> 32) == seen) return false;
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      seen = static_cast<uint32_t>(state >> 32);
      return true;
    }
  }
}

void ThreadPool::leave() {
  const uint64_t after = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  if ((after & (2 * kOpen - 1)) == 0) state_.notify_all();  // closed and empty: the caller may be asleep
}

void ThreadPool::work(int worker) {
  uint32_t seen = 0;  // the last job this worker took part in
  for (;;) {
    const uint32_t bell = bell_.load();
    if (stop_.load()) return;
    if (enter(seen)) {
      run_chunks(worker);
      leave();
      continue;
    }
    bool rang = false;
    for (int spin = 0; spin < kSpins && !rang; ++spin) {
      relax();
      rang = bell_.load(std::memory_order_relaxed) != bell;
    }
    if (rang) continue;
    sleepers_.fetch_add(1);
    bell_.wait(bell);
    sleepers_.fetch_sub(1);
  }
}

}  // namespace exo
