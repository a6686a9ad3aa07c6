#pragma once

#include <span>

#include "ops/cpu/cpu_context.h"
#include "ops/ops.h"

namespace exo::ops {

// Layers that keep a state for each sequence (ops.h).
class CpuRecurrence {
 public:
  explicit CpuRecurrence(CpuContext& context) : context_(context) {}
  void convolve(Tensor x, Vector taps, int32_t n_taps, const StateView& state,
                std::span<const SequenceRows> sequences, Tensor out);
  void delta_rule(const DeltaRule& rule, const StateView& state, std::span<const SequenceRows> sequences,
                  Tensor out);

 private:
  void prepare(const DeltaRule& rule);
  void run_rows(const DeltaRule& rule, const SequenceRows& sequence, float* state, int64_t head, int64_t first,
                int64_t count, Tensor out) const;

  CpuContext& context_;
  Scratch prepared_;
  // Of all rows: [rows, n_key_heads * key_dim] twice, [rows, n_heads] twice.
  float *queries_ = nullptr, *keys_ = nullptr, *decays_ = nullptr, *betas_ = nullptr;
};

}  // namespace exo::ops
