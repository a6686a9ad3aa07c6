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

constexpr int64_t kMostPieces = UINT32_MAX;  // of a job: they are counted in half a word

constexpr uint64_t stretch(uint64_t begin, uint64_t end) { return begin | end << 32; }
constexpr uint64_t begin_of(uint64_t stretch) { return stretch & UINT32_MAX; }
constexpr uint64_t end_of(uint64_t stretch) { return stretch >> 32; }
constexpr uint64_t left_in(uint64_t stretch) {
  return end_of(stretch) > begin_of(stretch) ? end_of(stretch) - begin_of(stretch) : 0;
}

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
  stretches_ = std::vector<Stretch>(static_cast<size_t>(size_));
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
  grain = std::max({int64_t{1}, grain, count / kMostPieces});
  if (size_ == 1 || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) task(begin, std::min(count, begin + grain), 0);
    return;
  }
  job_ = {&task, count, grain};
  deal(static_cast<uint64_t>((count + grain - 1) / grain));
  const uint64_t number = (state_.load(std::memory_order_relaxed) >> 32) + 1;
  state_.store((number << 32) | kOpen, std::memory_order_release);
  bell_.fetch_add(1);
  if (sleepers_.load() > 0) bell_.notify_all();

  run_pieces(0);
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

void ThreadPool::deal(uint64_t n_pieces) {
  const auto n = static_cast<uint64_t>(size_);
  for (uint64_t w = 0; w < n; ++w) {
    stretches_[w].pieces.store(stretch(n_pieces * w / n, n_pieces * (w + 1) / n), std::memory_order_relaxed);
  }
}

void ThreadPool::run_pieces(int worker) {
  const Job job = job_;
  do {
    while (const auto piece = take(worker)) {
      const auto begin = static_cast<int64_t>(*piece) * job.grain;
      (*job.task)(begin, std::min(job.count, begin + job.grain), worker);
    }
  } while (steal(worker));
}

// The next piece of the worker's own stretch.
std::optional<uint64_t> ThreadPool::take(int worker) {
  auto& own = stretches_[static_cast<size_t>(worker)].pieces;
  uint64_t pieces = own.load(std::memory_order_relaxed);
  while (begin_of(pieces) < end_of(pieces)) {
    const uint64_t rest = stretch(begin_of(pieces) + 1, end_of(pieces));
    if (own.compare_exchange_weak(pieces, rest, std::memory_order_relaxed)) return begin_of(pieces);
  }
  return std::nullopt;
}

// Makes the later half of what another worker has left this one's; false: nobody has anything left. A stretch never
// has the same value twice within a job, so an exchange that succeeds is of what was looked at.
bool ThreadPool::steal(int worker) {
  for (;;) {
    std::atomic<uint64_t>* richest = nullptr;
    uint64_t most = 0;
    for (Stretch& other : stretches_) {
      const uint64_t pieces = other.pieces.load(std::memory_order_relaxed);
      if (left_in(pieces) > left_in(most)) richest = &other.pieces, most = pieces;
    }
    if (richest == nullptr) return false;
    const uint64_t middle = begin_of(most) + left_in(most) / 2;
    if (richest->compare_exchange_strong(most, stretch(begin_of(most), middle), std::memory_order_relaxed)) {
      stretches_[static_cast<size_t>(worker)].pieces.store(stretch(middle, end_of(most)),
                                                           std::memory_order_relaxed);
      return true;
    }
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
      run_pieces(worker);
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
