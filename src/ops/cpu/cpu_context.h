#pragma once
// What the CPU operations share: threads, kernels, and scratch memory that grows to the largest need and stays.

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "kernels/kernel_table.h"
#include "ops/ops.h"

namespace exo::ops {

// 64-byte aligned, zeroed when it grows; aborts when the system has no memory for it.
class Scratch {
 public:
  template <typename T>
  T* get(size_t count) {
    grow(count * sizeof(T));
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
  };
  void grow(size_t bytes) {
    if (bytes <= bytes_) return;
    bytes = (bytes + bytes / 4 + 4095) / 4096 * 4096;
    memory_.reset();
    memory_.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
    std::memset(memory_.get(), 0, bytes);
    bytes_ = bytes;
  }
  std::unique_ptr<std::byte, Free> memory_;
  size_t bytes_ = 0;
};

struct CpuContext {
  explicit CpuContext(int threads, const kernels::KernelTable& table)
      : pool(threads), kernels(table), worker_scratch(static_cast<size_t>(pool.size())) {}

  ThreadPool pool;
  const kernels::KernelTable& kernels;
  std::vector<Scratch> worker_scratch;  // [pool.size()], used within one operation

  // For loops over rows of `cols` elements: runs body(begin row, end row), on several threads when it is worth it.
  template <typename Body>
  void for_rows(int64_t rows, int64_t cols, Body body) {
    constexpr int64_t kElements = 16384;  // a few µs of work
    const int64_t grain = std::max<int64_t>(1, kElements / std::max<int64_t>(1, cols));
    pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end, int) { body(begin, end); });
  }
};

class CpuAttention {
 public:
  explicit CpuAttention(CpuContext& context) : context_(context) {}
  void store(Tensor k, Tensor v, const KvCacheView& cache, std::span<const SequenceRows> sequences);
  void run(Tensor q, const KvCacheView& cache, std::span<const SequenceRows> sequences,
           const AttentionParams& params, Tensor out);

 private:
  struct Call;
  struct Task {
    const SequenceRows* sequence;
    int64_t kv_head;
    int64_t first_head, n_heads;  // query heads, all of this kv head
    int64_t first_row, n_rows;    // within the sequence
    int64_t first_segment, n_segments;
    int64_t n_parts = 1, part = 0;  // of the same rows and head, in order of segments
    float* partial = nullptr;       // where the state goes when there are several parts
  };
  struct State;
  struct Chunk;
  static State state_at(float* memory, int64_t rows, int64_t value_stride);
  void plan(Call& call);
  int64_t task_heads(const Call& call, int64_t n_tasks) const;
  void run_task(const Call& call, const Task& task, int worker);
  using Positions = std::array<const std::byte*, kernels::kAttentionChunk>;
  struct Vectors {
    Positions here, after;
  };
  struct Span {  // positions [at + begin, at + end) of one chunk; more: the next chunk is whole and follows
    int64_t at;
    int begin, end;
    bool more;
  };
  void find_positions(const Call& call, const Task& task, int64_t at, int begin, int n, const std::byte* base,
                      size_t bytes, Positions& positions);
  void find_vectors(const Call& call, const Task& task, const Span& span, const std::byte* base, size_t bytes,
                    Vectors& vectors);
  void widen(const Positions& positions, const Positions* next, ElementType type, int64_t dim, int64_t stride,
             const Span& span, float* to);
  void load_keys(const Call& call, const Task& task, const Span& span, const Chunk& chunk);
  void mix_values(const Call& call, const Task& task, const Span& span, int rows, const Chunk& chunk, State& state);
  void run_segment(const Call& call, const Task& task, int64_t segment, const float* q, const Chunk& chunk,
                   State& state);
  void finish(const Call& call, const Task& task, const State& state);

  CpuContext& context_;
  std::vector<Task> tasks_;
  Scratch partial_;
};

class CpuRope {
 public:
  explicit CpuRope(CpuContext& context) : context_(context) {}
  void run(Tensor x, int32_t head_dim, std::span<const Position> positions, const RopeParams& params);

 private:
  void make_table(std::span<const Position> positions, const RopeParams& params);
  bool same_as_last(std::span<const Position> positions, const RopeParams& params) const;

  CpuContext& context_;
  // Of the last call: queries, keys and all layers of a step rotate by the same angles.
  RopeParams params_;
  std::vector<Position> positions_;
  std::vector<float> factors_;
  Scratch table_;
};

}  // namespace exo::ops
