// Layers with a state for each sequence. Positions follow each other, so work is divided otherwise: channels of a
// convolution; heads, and rows of a head's state, which a thread keeps in its cache from a sequence's first
// position to its last. A position's result does not depend on how its sequence is cut into steps.
#include "ops/cpu/cpu_recurrence.h"

#include <algorithm>
#include <cmath>

namespace exo::ops {
namespace {

constexpr int64_t kChannels = 256;      // of a convolution, per piece of work
constexpr int64_t kStateFloats = 4096;  // of a head's state, per piece of work: half a first-level cache

float softplus(float x) { return x > 20.0f ? x : std::log1p(std::exp(x)); }
float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

// to = x * scale / |x|
void put_direction(const float* x, int64_t n, float epsilon, float scale, float* to) {
  float squares = 0.0f;
  for (int64_t i = 0; i < n; ++i) squares += x[i] * x[i];
  const float factor = scale / std::sqrt(squares + epsilon);
  for (int64_t i = 0; i < n; ++i) to[i] = x[i] * factor;
}

// Channels [first, first + count) of one sequence. history: [n_taps - 1, cols], oldest first.
void convolve_channels(Tensor x, const float* taps, int64_t n_taps, const SequenceRows& sequence, float* history,
                       Tensor out, int64_t first, int64_t count) {
  const int64_t n_before = n_taps - 1, cols = x.cols;
  const auto input = [&](int64_t row) {  // of the sequence, from -n_before on
    return (row < 0 ? history + (row + n_before) * cols : x.data + (sequence.first_row + row) * x.stride) + first;
  };
  if (sequence.first_position.value == 0) {
    for (int64_t t = 0; t < n_before; ++t) std::fill_n(history + t * cols + first, count, 0.0f);
  }
  for (int64_t row = 0; row < sequence.n_rows; ++row) {
    float* to = out.data + (sequence.first_row + row) * out.stride + first;
    std::fill_n(to, count, 0.0f);
    for (int64_t t = 0; t < n_taps; ++t) {
      const float* from = input(row - n_before + t);
      const float* weight = taps + t * cols + first;
      for (int64_t c = 0; c < count; ++c) to[c] += weight[c] * from[c];
    }
  }
  // Oldest first: what is overwritten is not needed any more.
  for (int64_t t = 0; t < n_before; ++t) {
    const float* from = input(sequence.n_rows - n_before + t);
    std::copy_n(from, count, history + t * cols + first);
  }
}

}  // namespace

void CpuRecurrence::convolve(Tensor x, Vector taps, int32_t n_taps, const StateView& state,
                             std::span<const SequenceRows> sequences, Tensor out) {
  const int64_t pieces = (x.cols + kChannels - 1) / kChannels;
  const auto n_sequences = static_cast<int64_t>(sequences.size());
  const int64_t rows_each = std::max<int64_t>(1, x.rows / std::max<int64_t>(1, n_sequences));
  const int64_t grain = std::max<int64_t>(1, 64 / rows_each);
  context_.pool.parallel_for(n_sequences * pieces, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& sequence = sequences[static_cast<size_t>(i / pieces)];
      const int64_t first = i % pieces * kChannels;
      convolve_channels(x, taps.data, n_taps, sequence, state.data + sequence.slot * state.slot_floats, out, first,
                        std::min(kChannels, x.cols - first));
    }
  });
}

void CpuRecurrence::prepare(const DeltaRule& rule) {
  const int64_t rows = rule.key.rows, width = rule.key.cols, dim = rule.key_dim, n_heads = rule.n_heads;
  queries_ = prepared_.get<float>(static_cast<size_t>(rows * (2 * width + 2 * n_heads)));
  keys_ = queries_ + rows * width;
  decays_ = keys_ + rows * width;
  betas_ = decays_ + rows * n_heads;
  const float query_scale = 1.0f / std::sqrt(static_cast<float>(dim));
  context_.for_rows(rows, 4 * width, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t c = 0; c < width; c += dim) {
        put_direction(rule.query.data + r * rule.query.stride + c, dim, rule.epsilon, query_scale,
                      queries_ + r * width + c);
        put_direction(rule.key.data + r * rule.key.stride + c, dim, rule.epsilon, 1.0f, keys_ + r * width + c);
      }
      for (int64_t h = 0; h < n_heads; ++h) {
        const float a = rule.a.data[r * rule.a.stride + h] + rule.decay_bias.data[h];
        decays_[r * n_heads + h] = std::exp(rule.decay_rate.data[h] * softplus(a));
        betas_[r * n_heads + h] = sigmoid(rule.b.data[r * rule.b.stride + h]);
      }
    }
  });
}

// Rows [first, first + count) of a head's state through all positions of a sequence.
void CpuRecurrence::run_rows(const DeltaRule& rule, const SequenceRows& sequence, float* state, int64_t head,
                             int64_t first, int64_t count, Tensor out) const {
  const int64_t dim = rule.key_dim, width = rule.key.cols;
  const int64_t key_head = rule.tiled ? head % rule.n_key_heads : head / (rule.n_heads / rule.n_key_heads);
  const int64_t column = head * rule.value_dim + first;
  float* rows = state + column * dim;
  if (sequence.first_position.value == 0) std::fill_n(rows, count * dim, 0.0f);
  for (int64_t row = sequence.first_row; row < sequence.first_row + sequence.n_rows; ++row) {
    const kernels::DeltaStep step{.key = keys_ + row * width + key_head * dim,
                                  .query = queries_ + row * width + key_head * dim,
                                  .dim = dim,
                                  .decay = decays_[row * rule.n_heads + head],
                                  .beta = betas_[row * rule.n_heads + head]};
    context_.kernels.delta_step(rows, step, rule.value.data + row * rule.value.stride + column, count,
                                out.data + row * out.stride + column);
  }
}

void CpuRecurrence::delta_rule(const DeltaRule& rule, const StateView& state,
                               std::span<const SequenceRows> sequences, Tensor out) {
  prepare(rule);
  const int64_t rows = std::clamp<int64_t>(kStateFloats / rule.key_dim, 1, rule.value_dim);
  const int64_t pieces = (rule.value_dim + rows - 1) / rows, per_sequence = pieces * rule.n_heads;
  const auto n_tasks = static_cast<int64_t>(sequences.size()) * per_sequence;
  context_.pool.parallel_for(n_tasks, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const auto& sequence = sequences[static_cast<size_t>(i / per_sequence)];
      const int64_t head = i % per_sequence / pieces, first = i % pieces * rows;
      run_rows(rule, sequence, state.data + sequence.slot * state.slot_floats, head, first,
               std::min(rows, rule.value_dim - first), out);
    }
  });
}

}  // namespace exo::ops
