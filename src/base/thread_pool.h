#pragma once
// A fork-join pool for operations that take microseconds: the caller works too, every thread has a stretch of the
// range to itself (memory is read best as one stream), and who is done takes over half of what the slowest has
// left, that of a worker still asleep included, which is not waited for. Workers spin briefly after a job, then
// sleep; an idle pool uses no processor time.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

namespace exo {

// A borrowed callable void(begin, end, worker): valid for one call of parallel_for.
class RangeTask {
 public:
  template <typename F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, RangeTask>) RangeTask(F&& f)  // implicit: callers pass lambdas
      : object_(const_cast<void*>(static_cast<const void*>(&f))),
        call_([](void* object, int64_t begin, int64_t end, int worker) {
          (*static_cast<std::remove_reference_t<F>*>(object))(begin, end, worker);
        }) {}
  void operator()(int64_t begin, int64_t end, int worker) const { call_(object_, begin, end, worker); }

 private:
  void* object_;
  void (*call_)(void*, int64_t, int64_t, int);
};

class ThreadPool {
 public:
  // `threads` in all, the caller's included; 0: one per physical core that this process may use. Where the system
  // has no threads (thread_pool_single.cpp), it is the caller alone.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls task(begin, end, worker) for disjoint ranges of at most `grain` that cover [0, count), on several threads
  // at once, and returns when all are done. `worker` is in [0, size()) and no two ranges with the same worker run
  // at the same time; the next one mostly begins where its last ended. The task must not throw and must not use the
  // pool. One caller at a time.
  void parallel_for(int64_t count, int64_t grain, RangeTask task);

  static int physical_cores();

 private:
  struct Job {
    const RangeTask* task = nullptr;
    int64_t count = 0, grain = 1;
  };
  // What a worker has left of the job, in pieces of `grain`: low half the first, high half the one after the last.
  struct alignas(64) Stretch {
    std::atomic<uint64_t> pieces{0};
  };
  void deal(uint64_t n_pieces);
  void work(int worker);
  void run_pieces(int worker);
  std::optional<uint64_t> take(int worker);
  bool steal(int worker);
  bool enter(uint32_t& seen);
  void leave();

  // Low half: workers inside the job; bit 31: the job is open to join; high half: the job's number.
  static constexpr uint64_t kOpen = uint64_t{1} << 31;
  alignas(64) std::atomic<uint64_t> state_{0};
  alignas(64) std::atomic<uint32_t> bell_{0};  // rises with each job; sleepers wait on it
  alignas(64) std::atomic<int32_t> sleepers_{0};
  std::atomic<bool> stop_{false};
  Job job_;
  std::vector<Stretch> stretches_;  // of each worker
  struct Threads;
  std::unique_ptr<Threads> threads_;
  int size_ = 1;
};

}  // namespace exo
