// Attention over the paged cache, in one pass over the keys (FlashAttention; Dao et al. 2022). All query heads of a
// kv head and several rows share each chunk of keys and values.
//
// The arithmetic of a row is fixed by its position alone: chunks of 32 positions and segments of 512 begin at
// multiples of these, each segment is summed by itself, and segments are merged in order. So a long context can be
// split over threads, and a row gives the same bits in a prefill and alone.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/quantize.h"
#include "ops/cpu/cpu_context.h"

namespace exo::ops {
namespace {

constexpr int64_t kChunk = kernels::kAttentionChunk;
constexpr int64_t kSegment = 512;
constexpr int64_t kTaskRows = 64;  // query rows times heads that share a chunk
constexpr float kNone = -std::numeric_limits<float>::infinity();

int64_t padded(int64_t dim) { return (dim + 15) / 16 * 16; }

size_t dim_bytes(ElementType type, int64_t dim) {
  return static_cast<size_t>(*row_bytes(type, static_cast<uint64_t>(dim)));
}

// Where one head's vector of a position is.
int64_t cache_offset(const KvCacheView& cache, std::span<const BlockId> table, int64_t position, int64_t head,
                     size_t bytes) {
  const int64_t block = table[static_cast<size_t>(position / cache.block_positions)].value;
  const int64_t vector =
      (block * cache.n_kv_heads + head) * cache.block_positions + position % cache.block_positions;
  return vector * static_cast<int64_t>(bytes);
}

}  // namespace

struct CpuAttention::Call {
  Tensor q, out;
  const KvCacheView& cache;
  std::span<const SequenceRows> sequences;
  const AttentionParams& params;
  int64_t heads_per_kv = 0, key_stride = 0, value_stride = 0;
  size_t key_bytes = 0, value_bytes = 0;
  int64_t state_floats = 0;  // of one task
  int64_t task_rows = 0;     // most rows × heads of one task
};

// Per (row, head): largest score, sum of exponentials, weighted values; rows are row * heads_per_kv + head.
struct CpuAttention::State {
  float* maximum;
  float* total;
  float* values;
};

CpuAttention::State CpuAttention::state_at(float* memory, int64_t rows, int64_t) {
  return {memory, memory + rows, memory + padded(2 * rows)};
}

void CpuAttention::store(Tensor k, Tensor v, const KvCacheView& cache, std::span<const SequenceRows> sequences) {
  const auto put = [&](const float* from, std::byte* to, int64_t dim) {
    if (cache.type == ElementType::kF16) {
      context_.kernels.narrow_f16(from, reinterpret_cast<uint16_t*>(to), dim);
    } else {
      kernels::quantize_row(cache.type, from, to, dim);
    }
  };
  const size_t key_bytes = dim_bytes(cache.type, cache.key_dim),
               value_bytes = dim_bytes(cache.type, cache.value_dim);
  for (const SequenceRows& s : sequences) {
    context_.for_rows(s.n_rows, k.cols + v.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t h = 0; h < cache.n_kv_heads; ++h) {
          const int64_t position = s.first_position.value + i, row = s.first_row + i;
          put(k.data + row * k.stride + h * cache.key_dim,
              cache.keys + cache_offset(cache, s.block_table, position, h, key_bytes), cache.key_dim);
          put(v.data + row * v.stride + h * cache.value_dim,
              cache.values + cache_offset(cache, s.block_table, position, h, value_bytes), cache.value_dim);
        }
      }
    });
  }
}

void CpuAttention::plan(Call& call) {
  tasks_.clear();
  const int64_t rows_per_task = std::max<int64_t>(1, kTaskRows / call.heads_per_kv);
  call.task_rows = rows_per_task * call.heads_per_kv;
  call.state_floats = padded(2 * call.task_rows) + call.task_rows * call.value_stride;
  int64_t blocks = 0;
  for (const SequenceRows& s : call.sequences) blocks += (s.n_rows + rows_per_task - 1) / rows_per_task;
  const bool split = blocks * call.cache.n_kv_heads < 4 * context_.pool.size();
  for (const SequenceRows& s : call.sequences) {
    for (int64_t row = 0; row < s.n_rows; row += rows_per_task) {
      const int64_t n = std::min(rows_per_task, s.n_rows - row);
      const int64_t first = s.first_position.value + row;
      const int64_t low = call.params.window > 0 ? std::max<int64_t>(0, first - call.params.window + 1) : 0;
      const int64_t begin = low / kSegment, end = (first + n - 1) / kSegment + 1;
      const int64_t parts = split ? end - begin : 1;
      for (int64_t h = 0; h < call.cache.n_kv_heads; ++h) {
        for (int64_t p = 0; p < parts; ++p) {
          tasks_.push_back({&s, h, row, n, split ? begin + p : begin, split ? 1 : end - begin, parts, p});
        }
      }
    }
  }
  if (!split) return;
  float* partial = partial_.get<float>(tasks_.size() * static_cast<size_t>(call.state_floats));
  for (Task& task : tasks_) {
    task.partial = partial;
    partial += call.state_floats;
  }
}

namespace {

// a ← a and b, the later one.
void merge(float* maximum, float* total, float* values, const float* b_maximum, const float* b_total,
           const float* b_values, int64_t rows, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r) {
    if (b_total[r] == 0.0f) continue;
    const float largest = std::max(maximum[r], b_maximum[r]);
    const float a = total[r] == 0.0f ? 0.0f : std::exp(maximum[r] - largest), b = std::exp(b_maximum[r] - largest);
    for (int64_t i = 0; i < stride; ++i)
      values[r * stride + i] = values[r * stride + i] * a + b_values[r * stride + i] * b;
    total[r] = total[r] * a + b_total[r] * b;
    maximum[r] = largest;
  }
}

}  // namespace

void CpuAttention::run(Tensor q, const KvCacheView& cache, std::span<const SequenceRows> sequences,
                       const AttentionParams& params, Tensor out) {
  Call call{q, out, cache, sequences, params};
  call.heads_per_kv = params.n_heads / cache.n_kv_heads;
  call.key_stride = padded(cache.key_dim);
  call.value_stride = padded(cache.value_dim);
  call.key_bytes = dim_bytes(cache.type, cache.key_dim);
  call.value_bytes = dim_bytes(cache.type, cache.value_dim);
  plan(call);
  const auto n_tasks = static_cast<int64_t>(tasks_.size());
  context_.pool.parallel_for(n_tasks, 1, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t t = begin; t < end; ++t) run_task(call, tasks_[static_cast<size_t>(t)], worker);
  });
  for (size_t t = 0; t < tasks_.size(); t += static_cast<size_t>(tasks_[t].n_parts)) {
    const Task& task = tasks_[t];
    if (!task.partial) continue;
    const int64_t rows = task.n_rows * call.heads_per_kv;
    const State state = state_at(task.partial, rows, call.value_stride);
    for (int64_t p = 1; p < task.n_parts; ++p) {
      const State other = state_at(tasks_[t + static_cast<size_t>(p)].partial, rows, call.value_stride);
      merge(state.maximum, state.total, state.values, other.maximum, other.total, other.values, rows,
            call.value_stride);
    }
    finish(call, task, state);
  }
}

void CpuAttention::run_task(const Call& call, const Task& task, int worker) {
  const int64_t rows = task.n_rows * call.heads_per_kv;
  const int64_t chunk_floats = kChunk * (call.key_stride + call.value_stride) + rows * (kChunk + 1) + 16;
  float* memory = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
      static_cast<size_t>(padded(rows * call.key_stride) + padded(chunk_floats) + 2 * call.state_floats));
  float* q = memory;
  float* chunk = q + padded(rows * call.key_stride);
  State state = state_at(task.partial ? task.partial : chunk + padded(chunk_floats), rows, call.value_stride);
  State segment = state_at(chunk + padded(chunk_floats) + call.state_floats, rows, call.value_stride);

  const int64_t key_dim = call.cache.key_dim;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t head = task.kv_head * call.heads_per_kv + i % call.heads_per_kv;
    const int64_t row = task.sequence->first_row + task.first_row + i / call.heads_per_kv;
    const float* from = call.q.data + row * call.q.stride + head * key_dim;
    float* to = q + i * call.key_stride;
    for (int64_t k = 0; k < key_dim; ++k) to[k] = from[k] * call.params.scale;
    for (int64_t k = key_dim; k < call.key_stride; ++k) to[k] = 0.0f;
  }
  run_segment(call, task, task.first_segment, q, chunk, state);
  for (int64_t s = 1; s < task.n_segments; ++s) {
    run_segment(call, task, task.first_segment + s, q, chunk, segment);
    merge(state.maximum, state.total, state.values, segment.maximum, segment.total, segment.values, rows,
          call.value_stride);
  }
  if (!task.partial) finish(call, task, state);
}

void CpuAttention::run_segment(const Call& call, const Task& task, int64_t segment, const float* q, float* scratch,
                               State& state) {
  const auto& kernels = context_.kernels;
  const int64_t rows = task.n_rows * call.heads_per_kv;
  float* keys = scratch;
  float* values = keys + kChunk * call.key_stride;
  float* scores = values + kChunk * call.value_stride;
  float* factors = scores + rows * kChunk;
  std::fill_n(state.maximum, rows, kNone);
  std::fill_n(state.total, rows, 0.0f);
  std::fill_n(state.values, rows * call.value_stride, 0.0f);

  const int64_t first_position = task.sequence->first_position.value + task.first_row;
  const int64_t window = call.params.window > 0 ? call.params.window : std::numeric_limits<int32_t>::max();
  const int64_t low = std::max(segment * kSegment, first_position - window + 1);
  const int64_t high = std::min((segment + 1) * kSegment, first_position + task.n_rows);
  for (int64_t at = low / kChunk * kChunk; at < high; at += kChunk) {
    const int n = static_cast<int>(std::min(kChunk, high - at));
    for (int64_t j = std::max<int64_t>(0, low - at); j < n; ++j) {
      const auto table = task.sequence->block_table;
      kernels.widen(call.cache.type,
                    call.cache.keys + cache_offset(call.cache, table, at + j, task.kv_head, call.key_bytes),
                    keys + j * call.key_stride, call.cache.key_dim);
      kernels.widen(call.cache.type,
                    call.cache.values + cache_offset(call.cache, table, at + j, task.kv_head, call.value_bytes),
                    values + j * call.value_stride, call.cache.value_dim);
      std::fill(keys + j * call.key_stride + call.cache.key_dim, keys + (j + 1) * call.key_stride, 0.0f);
      std::fill(values + j * call.value_stride + call.cache.value_dim, values + (j + 1) * call.value_stride, 0.0f);
    }
    kernels.scores(q, call.key_stride, static_cast<int>(rows), keys, call.key_stride, n, call.key_stride, scores);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = first_position + r / call.heads_per_kv;
      const auto begin = static_cast<int>(std::clamp<int64_t>(position - window + 1 - at, 0, n));
      const auto end = static_cast<int>(std::clamp<int64_t>(position + 1 - at, 0, n));
      float* s = scores + r * kChunk;
      factors[r] = 1.0f;
      if (begin >= end) {
        std::fill_n(s, kChunk, 0.0f);
        continue;
      }
      if (call.params.logit_soft_cap > 0.0f) kernels.soft_cap(s, call.params.logit_soft_cap, n);
      factors[r] = kernels.softmax_step(s, begin, end, state.maximum[r], state.total[r]);
    }
    kernels.mix_values(scores, factors, static_cast<int>(rows), values, call.value_stride, n, call.value_stride,
                       state.values, call.value_stride);
  }
}

void CpuAttention::finish(const Call& call, const Task& task, const State& state) {
  const int64_t dim = call.cache.value_dim;
  for (int64_t i = 0; i < task.n_rows * call.heads_per_kv; ++i) {
    const int64_t head = task.kv_head * call.heads_per_kv + i % call.heads_per_kv;
    const int64_t row = task.sequence->first_row + task.first_row + i / call.heads_per_kv;
    float factor = 1.0f, total = state.total[i];
    if (call.params.sinks) {
      const float sink = call.params.sinks.data[head], largest = std::max(sink, state.maximum[i]);
      factor = std::exp(state.maximum[i] - largest);
      total = total * factor + std::exp(sink - largest);
    }
    factor /= total;
    const float* from = state.values + i * call.value_stride;
    float* to = call.out.data + row * call.out.stride + head * dim;
    for (int64_t k = 0; k < dim; ++k) to[k] = from[k] * factor;
  }
}

}  // namespace exo::ops
