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
constexpr int64_t kTaskRows = 64;  // query rows times heads that share a chunk; more heads of one kv head also do
constexpr int64_t kLeastTaskHeads = 16;  // fewer spend more on reading the keys than on products with them
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

// The first position that the row at `position` attends to.
int64_t first_visible(const AttentionParams& params, int64_t position) {
  int64_t first = 0;
  if (params.window > 0) first = std::max(first, position - params.window + 1);
  if (params.chunk > 0) first = std::max(first, position / params.chunk * params.chunk);
  return first;
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
};

// Per (row, head): largest score, sum of exponentials, weighted values; rows are row * n_heads + head.
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
    context_.for_rows(s.n_rows, k.cols + (cache.values_in_keys ? 0 : v.cols), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        for (int64_t h = 0; h < cache.n_kv_heads; ++h) {
          const int64_t position = s.first_position.value + i, row = s.first_row + i;
          put(k.data + row * k.stride + h * cache.key_dim,
              cache.keys + cache_offset(cache, s.block_table, position, h, key_bytes), cache.key_dim);
          if (cache.values_in_keys) continue;
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
  int64_t blocks = 0;
  for (const SequenceRows& s : call.sequences) blocks += (s.n_rows + rows_per_task - 1) / rows_per_task;
  blocks *= call.cache.n_kv_heads;
  const bool split = blocks < 4 * context_.pool.size();
  for (const SequenceRows& s : call.sequences) {
    for (int64_t row = 0; row < s.n_rows; row += rows_per_task) {
      const int64_t n = std::min(rows_per_task, s.n_rows - row);
      const int64_t first = s.first_position.value + row;
      const int64_t begin = first_visible(call.params, first) / kSegment, end = (first + n - 1) / kSegment + 1;
      const int64_t parts = split ? end - begin : 1;
      const int64_t heads = task_heads(call, blocks * parts);
      for (int64_t h = 0; h < call.cache.n_kv_heads; ++h) {
        for (int64_t group = 0; group < call.heads_per_kv; group += heads) {
          const int64_t first_head = h * call.heads_per_kv + group;
          const int64_t n_heads = std::min(heads, call.heads_per_kv - group);
          for (int64_t p = 0; p < parts; ++p) {
            tasks_.push_back(
                {&s, h, first_head, n_heads, row, n, split ? begin + p : begin, split ? 1 : end - begin, parts, p});
          }
        }
      }
    }
  }
  const int64_t task_rows = rows_per_task * call.heads_per_kv;
  call.state_floats = padded(2 * task_rows) + task_rows * call.value_stride;
  if (!split) return;
  float* partial = partial_.get<float>(tasks_.size() * static_cast<size_t>(call.state_floats));
  for (Task& task : tasks_) {
    task.partial = partial;
    partial += call.state_floats;
  }
}

// A kv head that very many query heads share is also split by these, where threads would have nothing to do.
int64_t CpuAttention::task_heads(const Call& call, int64_t n_tasks) const {
  const int64_t threads = context_.pool.size();
  if (threads == 1 || n_tasks >= 2 * threads || call.heads_per_kv <= kLeastTaskHeads) return call.heads_per_kv;
  const int64_t pieces = (2 * threads + n_tasks - 1) / n_tasks;
  return std::max(kLeastTaskHeads, (call.heads_per_kv + pieces - 1) / pieces);
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
    const int64_t rows = task.n_rows * task.n_heads;
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
  const int64_t rows = task.n_rows * task.n_heads;
  const int64_t own_values = call.cache.values_in_keys ? 0 : call.value_stride;
  const int64_t chunk_floats = kChunk * (call.key_stride + own_values) + rows * (kChunk + 1) + 16;
  float* memory = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
      static_cast<size_t>(padded(rows * call.key_stride) + padded(chunk_floats) + 2 * call.state_floats));
  float* q = memory;
  float* chunk = q + padded(rows * call.key_stride);
  State state = state_at(task.partial ? task.partial : chunk + padded(chunk_floats), rows, call.value_stride);
  State segment = state_at(chunk + padded(chunk_floats) + call.state_floats, rows, call.value_stride);

  const int64_t key_dim = call.cache.key_dim;
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t head = task.first_head + i % task.n_heads;
    const int64_t row = task.sequence->first_row + task.first_row + i / task.n_heads;
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

// Positions [at + begin, at + n) in f32, and zeros for those before that no row of the task attends to.
void CpuAttention::load_chunk(const Call& call, const Task& task, int64_t at, int begin, int n, float* keys) {
  const KvCacheView& cache = call.cache;
  const auto table = task.sequence->block_table;
  const auto load = [&](const std::byte* from, size_t bytes, int64_t dim, int64_t stride, float* to) {
    std::fill_n(to, begin * stride, 0.0f);
    for (int64_t j = begin; j < n; ++j) {
      context_.kernels.widen(cache.type, from + cache_offset(cache, table, at + j, task.kv_head, bytes),
                             to + j * stride, dim);
      std::fill(to + j * stride + dim, to + (j + 1) * stride, 0.0f);
    }
  };
  load(cache.keys, call.key_bytes, cache.key_dim, call.key_stride, keys);
  if (cache.values_in_keys) return;
  load(cache.values, call.value_bytes, cache.value_dim, call.value_stride, keys + kChunk * call.key_stride);
}

void CpuAttention::run_segment(const Call& call, const Task& task, int64_t segment, const float* q, float* scratch,
                               State& state) {
  const auto& kernels = context_.kernels;
  const int64_t rows = task.n_rows * task.n_heads;
  float* keys = scratch;
  const bool shared = call.cache.values_in_keys;
  float* values = shared ? keys : keys + kChunk * call.key_stride;
  const int64_t values_stride = shared ? call.key_stride : call.value_stride;
  float* scores = keys + kChunk * (call.key_stride + (shared ? 0 : call.value_stride));
  float* factors = scores + rows * kChunk;
  std::fill_n(state.maximum, rows, kNone);
  std::fill_n(state.total, rows, 0.0f);
  std::fill_n(state.values, rows * call.value_stride, 0.0f);

  const int64_t first_position = task.sequence->first_position.value + task.first_row;
  const int64_t low = std::max(segment * kSegment, first_visible(call.params, first_position));
  const int64_t high = std::min((segment + 1) * kSegment, first_position + task.n_rows);
  for (int64_t at = low / kChunk * kChunk; at < high; at += kChunk) {
    const int n = static_cast<int>(std::min(kChunk, high - at));
    load_chunk(call, task, at, static_cast<int>(std::max<int64_t>(0, low - at)), n, keys);
    kernels.scores(q, call.key_stride, static_cast<int>(rows), keys, call.key_stride, n, call.key_stride, scores);
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t position = first_position + r / task.n_heads;
      const auto begin = static_cast<int>(std::clamp<int64_t>(first_visible(call.params, position) - at, 0, n));
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
    kernels.mix_values(scores, factors, static_cast<int>(rows), values, values_stride, n, call.value_stride,
                       state.values, call.value_stride);
  }
}

void CpuAttention::finish(const Call& call, const Task& task, const State& state) {
  const int64_t dim = call.cache.value_dim;
  for (int64_t i = 0; i < task.n_rows * task.n_heads; ++i) {
    const int64_t head = task.first_head + i % task.n_heads;
    const int64_t row = task.sequence->first_row + task.first_row + i / task.n_heads;
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
