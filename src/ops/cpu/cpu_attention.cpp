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

void prefetch(const std::byte* p, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 3);
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

// Memory of one worker, in floats. Keys lie transposed, [key_stride][kChunk]; as rows, [kChunk][key_stride], they
// are there as well where values are in them or where they must be widened before they are turned.
struct CpuAttention::Chunk {
  float* keys;
  float* key_rows;
  float* values;  // [kChunk, value_stride]
  int64_t values_stride;
  float* scores;                // [rows, kChunk]
  float* factors;               // [rows]
  kernels::ChunkRange* ranges;  // [rows]

  Chunk(const Call& call, int64_t rows, float* memory) {
    keys = memory;
    key_rows = keys + kChunk * call.key_stride;
    const bool shared = call.cache.values_in_keys;
    values = shared ? key_rows : key_rows + kChunk * call.key_stride;
    values_stride = shared ? call.key_stride : call.value_stride;
    scores = key_rows + kChunk * (call.key_stride + (shared ? 0 : call.value_stride));
    factors = scores + rows * kChunk;
    ranges = reinterpret_cast<kernels::ChunkRange*>(factors + rows);
  }
  static int64_t floats(const Call& call, int64_t rows) {
    return kChunk * (2 * call.key_stride + call.value_stride) + rows * (kChunk + 3) + 16;
  }
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
  const int64_t chunk_floats = Chunk::floats(call, rows);
  float* memory = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
      static_cast<size_t>(padded(rows * call.key_stride) + padded(chunk_floats) + 2 * call.state_floats));
  float* q = memory;
  float* after_q = q + padded(rows * call.key_stride);
  const Chunk chunk(call, rows, after_q);
  float* states = after_q + padded(chunk_floats);
  State state = state_at(task.partial ? task.partial : states, rows, call.value_stride);
  State segment = state_at(states + call.state_floats, rows, call.value_stride);

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

// Where the vectors of the positions of a chunk are; those before `begin` and from `n` on repeat their neighbours.
void CpuAttention::find_positions(const Call& call, const Task& task, int64_t at, int begin, int n,
                                  const std::byte* base, size_t bytes, Positions& positions) {
  const auto table = task.sequence->block_table;
  const int64_t per_block = call.cache.block_positions;
  for (int64_t j = begin; j < n;) {
    const std::byte* p = base + cache_offset(call.cache, table, at + j, task.kv_head, bytes);
    const int64_t end = std::min<int64_t>(n, j + per_block - (at + j) % per_block);
    for (; j < end; ++j, p += bytes) positions[static_cast<size_t>(j)] = p;
  }
  std::fill_n(positions.begin(), begin, positions[static_cast<size_t>(begin)]);
  std::fill(positions.begin() + n, positions.end(), positions[static_cast<size_t>(n - 1)]);
}

void CpuAttention::widen(const Positions& positions, const Positions* next, ElementType type, int64_t dim,
                         int64_t stride, const Span& span, float* to) {
  const auto bytes = static_cast<int64_t>(dim_bytes(type, dim));
  for (int j = span.begin; j < span.end; ++j) {
    if (next) prefetch((*next)[static_cast<size_t>(j)], bytes);
    context_.kernels.widen(type, positions[static_cast<size_t>(j)], to + j * stride, dim);
    std::fill(to + j * stride + dim, to + (j + 1) * stride, 0.0f);
  }
}

// Where keys or values of this chunk are and, when it is whole and of this task, of the next.
void CpuAttention::find_vectors(const Call& call, const Task& task, const Span& span, const std::byte* base,
                                size_t bytes, Vectors& vectors) {
  find_positions(call, task, span.at, span.begin, span.end, base, bytes, vectors.here);
  if (!span.more) return;
  find_positions(call, task, span.at + kChunk, 0, static_cast<int>(kChunk), base, bytes, vectors.after);
}

// The keys of the span, turned; those in other places are of no meaning. Where values are in the keys, also as
// rows.
void CpuAttention::load_keys(const Call& call, const Task& task, const Span& span, const Chunk& chunk) {
  const KvCacheView& cache = call.cache;
  Vectors keys;
  find_vectors(call, task, span, cache.keys, call.key_bytes, keys);
  const Positions* next = span.more ? &keys.after : nullptr;
  const auto rows = [&] {
    widen(keys.here, next, cache.type, cache.key_dim, call.key_stride, span, chunk.key_rows);
  };
  if (cache.values_in_keys) rows();
  if (context_.kernels.transpose_keys(cache.type, keys.here.data(), next ? next->data() : nullptr, cache.key_dim,
                                      chunk.keys)) {
    return;
  }
  if (!cache.values_in_keys) rows();
  for (int j = 0; j < kChunk; ++j) {
    const float* row = chunk.key_rows + std::clamp(j, span.begin, span.end - 1) * call.key_stride;
    keys.here[static_cast<size_t>(j)] = reinterpret_cast<const std::byte*>(row);
  }
  context_.kernels.transpose_keys(ElementType::kF32, keys.here.data(), nullptr, call.key_stride, chunk.keys);
}

void CpuAttention::mix_values(const Call& call, const Task& task, const Span& span, int rows, const Chunk& chunk,
                              State& state) {
  const KvCacheView& cache = call.cache;
  const auto& kernels = context_.kernels;
  const float* p = chunk.scores + span.begin;
  const int n = span.end - span.begin;
  if (!cache.values_in_keys) {
    Vectors values;
    find_vectors(call, task, span, cache.values, call.value_bytes, values);
    const auto first = static_cast<size_t>(span.begin);
    if (kernels.mix_stored(cache.type, p, chunk.factors, rows, values.here.data() + first,
                           span.more ? values.after.data() + first : nullptr, n, call.value_stride, state.values,
                           call.value_stride)) {
      return;
    }
    widen(values.here, span.more ? &values.after : nullptr, cache.type, cache.value_dim, call.value_stride, span,
          chunk.values);
  }
  kernels.mix_values(p, chunk.factors, rows, chunk.values + span.begin * chunk.values_stride, chunk.values_stride,
                     n, call.value_stride, state.values, call.value_stride);
}

void CpuAttention::run_segment(const Call& call, const Task& task, int64_t segment, const float* q,
                               const Chunk& chunk, State& state) {
  const auto& kernels = context_.kernels;
  const int64_t rows = task.n_rows * task.n_heads;
  std::fill_n(state.maximum, rows, kNone);
  std::fill_n(state.total, rows, 0.0f);
  std::fill_n(state.values, rows * call.value_stride, 0.0f);

  const int64_t first_position = task.sequence->first_position.value + task.first_row;
  const int64_t low = std::max(segment * kSegment, first_visible(call.params, first_position));
  const int64_t high = std::min((segment + 1) * kSegment, first_position + task.n_rows);
  const int64_t task_end =
      std::min((task.first_segment + task.n_segments) * kSegment, first_position + task.n_rows);
  for (int64_t at = low / kChunk * kChunk; at < high; at += kChunk) {
    const int n = static_cast<int>(std::min(kChunk, high - at));
    const Span span{at, static_cast<int>(std::max<int64_t>(0, low - at)), n, at + 2 * kChunk <= task_end};
    load_keys(call, task, span, chunk);
    kernels.scores(q, call.key_stride, static_cast<int>(rows), chunk.keys, call.cache.key_dim, chunk.scores);
    for (int64_t row = 0; row < task.n_rows; ++row) {
      const int64_t position = first_position + row;
      const auto begin = static_cast<int32_t>(std::clamp<int64_t>(first_visible(call.params, position) - at, 0, n));
      const auto end = static_cast<int32_t>(std::clamp<int64_t>(position + 1 - at, 0, n));
      std::fill_n(chunk.ranges + row * task.n_heads, task.n_heads, kernels::ChunkRange{begin, end});
    }
    if (call.params.logit_soft_cap > 0.0f)
      kernels.soft_cap(chunk.scores, call.params.logit_soft_cap, rows * kChunk);
    kernels.softmax_rows(chunk.scores, static_cast<int>(rows), chunk.ranges, state.maximum, state.total,
                         chunk.factors);
    mix_values(call, task, span, static_cast<int>(rows), chunk, state);
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
