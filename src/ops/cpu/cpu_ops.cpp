#include "ops/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "kernels/dequantize.h"
#include "ops/cpu/cpu_context.h"
#include "ops/cpu/cpu_experts.h"
#include "ops/cpu/cpu_head_matmul.h"
#include "ops/cpu/cpu_matmul.h"
#include "ops/cpu/cpu_packing.h"
#include "ops/cpu/cpu_recurrence.h"
#include "ops/cpu/zeroed_memory.h"

namespace exo::ops {
namespace {

class CpuBuffer final : public Buffer {
 public:
  explicit CpuBuffer(ZeroedMemory memory) : memory_(std::move(memory)) {}
  std::byte* data() override { return memory_.data(); }
  size_t bytes() const override { return memory_.bytes(); }

 private:
  ZeroedMemory memory_;
};

kernels::Function function_of(Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return kernels::Function::kSilu;
    case Activation::kGeluTanh:
      return kernels::Function::kGeluTanh;
    case Activation::kGeluErf:
      return kernels::Function::kGeluErf;
    case Activation::kRelu:
      return kernels::Function::kRelu;
    case Activation::kReluSquared:
      return kernels::Function::kReluSquared;
    case Activation::kClampedSwish:
      return kernels::Function::kClampedSwish;
    case Activation::kSigmoid:
      return kernels::Function::kSigmoid;
  }
  return kernels::Function::kSilu;
}

const kernels::KernelTable& kernels_named(const std::string& name) {
  for (const auto& table : kernels::all_kernels()) {
    if (table.name == name) return table;
  }
  return kernels::best_kernels();
}

class CpuOps final : public Ops {
 public:
  explicit CpuOps(const CpuOptions& options) : context_(options.threads, kernels_named(options.kernels)) {}

  std::string description() const override {
    return fmt::format("CPU, {}, {} threads", context_.kernels.name, context_.pool.size());
  }

  Result<std::unique_ptr<Buffer>> allocate(size_t bytes) override {
    ZeroedMemory memory(bytes);
    if (!memory.data()) return fail(ErrorCode::kResourceExhausted, "no memory for a buffer of {} bytes", bytes);
    return std::make_unique<CpuBuffer>(std::move(memory));
  }

  Result<Weight> load(const WeightSource& source) override {
    if (!kernels::can_dequantize(source.type) || source.type == ElementType::kQ8_1) {
      return fail(ErrorCode::kUnsupported, "the CPU cannot multiply with {}", info(source.type).name);
    }
    const auto row = row_bytes(source.type, static_cast<uint64_t>(source.cols));
    const auto refuse = [&](size_t bytes) {
      return fail(ErrorCode::kInvalidArgument, "a {} weight of {} x {} x {} is not {} bytes",
                  info(source.type).name, source.n_matrices, source.rows, source.cols, bytes);
    };
    if (!row || source.rows < 0 || source.n_matrices < 0) return refuse(source.bytes.size());
    const uint64_t matrix_bytes = *row * static_cast<uint64_t>(source.rows);
    if (source.parts.empty()) {
      if (source.bytes.size() != matrix_bytes * static_cast<uint64_t>(source.n_matrices)) {
        return refuse(source.bytes.size());
      }
      return Weight{source.type, source.rows, source.cols, source.n_matrices, source.bytes.data(), {}};
    }
    if (source.parts.size() != static_cast<size_t>(source.n_matrices)) return refuse(source.parts.size());
    for (const auto& part : source.parts) {
      if (part.size() != matrix_bytes) return refuse(part.size());
    }
    return Weight{source.type, source.rows, source.cols, source.n_matrices, source.parts[0].data(), source.parts};
  }

  void write(Tensor to, const float* from) override {
    for (int64_t r = 0; r < to.rows; ++r) std::copy_n(from + r * to.cols, to.cols, to.data + r * to.stride);
  }

  void read(Tensor from, float* to) override {
    for (int64_t r = 0; r < from.rows; ++r) std::copy_n(from.data + r * from.stride, from.cols, to + r * from.cols);
  }

  void write_bytes(std::span<const std::byte> from, std::byte* to) override { std::ranges::copy(from, to); }
  void read_bytes(const std::byte* from, std::span<std::byte> to) override {
    std::copy_n(from, to.size(), to.data());
  }

  void embed(const Weight& table, std::span<const TokenId> tokens, Tensor out) override {
    EXO_DCHECK(out.cols == table.cols && out.rows == static_cast<int64_t>(tokens.size()));
    const auto bytes = static_cast<int64_t>(*row_bytes(table.type, static_cast<uint64_t>(table.cols)));
    context_.for_rows(static_cast<int64_t>(tokens.size()), table.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t token = tokens[static_cast<size_t>(i)].value;
        EXO_DCHECK(token >= 0 && token < table.rows);
        kernels::dequantize_row(table.type, table.data + token * bytes, out.data + i * out.stride, table.cols);
      }
    });
  }

  void matmul(Tensor x, std::span<const Linear> projections) override {
    for (const Linear& p : projections) {
      EXO_DCHECK(p.weight->cols == x.cols && p.out.rows == x.rows && p.out.cols == p.weight->rows);
      EXO_DCHECK(!p.bias || p.bias.size == p.weight->rows);
    }
    matmul_.run(x, projections);
  }

  void matmul_heads(Tensor x, const Weight& weight, Tensor out) override {
    EXO_DCHECK(x.rows % weight.n_matrices == 0 && x.cols == weight.cols);
    EXO_DCHECK(out.rows == x.rows && out.cols == weight.rows);
    matmul_heads_.run(x, weight, out);
  }

  void rms_norm(Tensor x, Vector weight, float eps, Tensor out) override {
    for_rows(x, [&](int64_t r) {
      context_.kernels.rms_norm(x.data + r * x.stride, weight.data, eps, out.data + r * out.stride, x.cols);
    });
  }

  void sum_squares(Tensor x, float* sums) override {
    static_assert(kNormColumns == kernels::kNormColumns);
    EXO_DCHECK(x.cols % kNormColumns == 0);
    context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        context_.kernels.sum_squares(x.data + r * x.stride, x.cols, sums + r * (x.cols / kNormColumns));
      }
    });
  }

  void rms_norm_columns(Tensor x, Vector weight, float eps, const float* sums, int64_t n_sums,
                        Tensor out) override {
    context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        float squares = 0.0f;
        for (int64_t i = 0; i < n_sums; ++i) squares += sums[r * n_sums + i];
        const float mean = squares / static_cast<float>(n_sums * kNormColumns);
        context_.kernels.rms_scale(x.data + r * x.stride, weight.data, mean, eps, out.data + r * out.stride,
                                   x.cols);
      }
    });
  }

  void layer_norm(Tensor x, Vector weight, Vector bias, float eps, Tensor out) override {
    for_rows(x, [&](int64_t r) {
      context_.kernels.layer_norm(x.data + r * x.stride, weight.data, bias.data, eps, out.data + r * out.stride,
                                  x.cols);
    });
  }

  void rope(Tensor x, int32_t head_dim, std::span<const Position> positions, const RopeParams& params) override {
    EXO_DCHECK(static_cast<int64_t>(positions.size()) == x.rows && params.first + params.dims <= head_dim &&
               params.dims % 2 == 0);
    rope_.run(x, head_dim, positions, params);
  }

  void store_kv(Tensor k, Tensor v, const KvCacheView& cache, std::span<const SequenceRows> sequences) override {
    EXO_DCHECK(k.cols == int64_t{cache.n_kv_heads} * cache.key_dim);
    EXO_DCHECK(cache.values_in_keys || v.cols == int64_t{cache.n_kv_heads} * cache.value_dim);
    attention_.store(k, v, cache, sequences);
  }

  void attention(Tensor q, const KvCacheView& cache, std::span<const SequenceRows> sequences,
                 const AttentionParams& params, Tensor out) override {
    EXO_DCHECK(params.n_heads % cache.n_kv_heads == 0 && q.cols == int64_t{params.n_heads} * cache.key_dim);
    EXO_DCHECK(out.cols == int64_t{params.n_heads} * cache.value_dim);
    attention_.run(q, cache, sequences, params, out);
  }

  void causal_convolution(Tensor x, Vector taps, int32_t n_taps, const StateView& state,
                          std::span<const SequenceRows> sequences, Tensor out) override {
    EXO_DCHECK(taps.size == x.cols * n_taps && out.cols == x.cols && out.rows == x.rows && out.data != x.data);
    EXO_DCHECK(state.slot_floats == x.cols * (n_taps - 1));
    recurrence_.convolve(x, taps, n_taps, state, sequences, out);
  }

  void delta_rule(const DeltaRule& rule, const StateView& state, std::span<const SequenceRows> sequences,
                  Tensor out) override {
    EXO_DCHECK(rule.n_heads % rule.n_key_heads == 0 && state.slot_floats == rule.state_floats());
    EXO_DCHECK(rule.key.cols == int64_t{rule.n_key_heads} * rule.key_dim && rule.query.cols == rule.key.cols);
    EXO_DCHECK(rule.value.cols == int64_t{rule.n_heads} * rule.value_dim && out.cols == rule.value.cols);
    EXO_DCHECK(rule.a.cols == rule.n_heads && rule.b.cols == rule.n_heads);
    recurrence_.delta_rule(rule, state, sequences, out);
  }

  void gated_activation(Activation activation, Tensor gate, Tensor up, Tensor out) override {
    for_rows(gate, [&](int64_t r) {
      context_.kernels.gate(function_of(activation), gate.data + r * gate.stride, up.data + r * up.stride,
                            out.data + r * out.stride, gate.cols);
    });
  }

  void activate(Activation activation, Tensor x) override {
    for_rows(x, [&](int64_t r) { context_.kernels.apply(function_of(activation), x.data + r * x.stride, x.cols); });
  }

  void add(Tensor x, Tensor y) override {
    for_rows(x, [&](int64_t r) { context_.kernels.add(x.data + r * x.stride, y.data + r * y.stride, x.cols); });
  }

  void scale(Tensor x, float factor) override {
    for_rows(x, [&](int64_t r) { context_.kernels.scale(x.data + r * x.stride, factor, x.cols); });
  }

  void scale_rows(Tensor x, std::span<const float> factors) override {
    EXO_DCHECK(static_cast<int64_t>(factors.size()) == x.rows);
    for_rows(x, [&](int64_t r) {
      context_.kernels.scale(x.data + r * x.stride, factors[static_cast<size_t>(r)], x.cols);
    });
  }

  void soft_cap(Tensor x, float cap) override {
    for_rows(x, [&](int64_t r) { context_.kernels.soft_cap(x.data + r * x.stride, cap, x.cols); });
  }

  void copy(Tensor x, Tensor out) override {
    EXO_DCHECK(x.rows == out.rows && x.cols == out.cols);
    for_rows(x, [&](int64_t r) { std::copy_n(x.data + r * x.stride, x.cols, out.data + r * out.stride); });
  }

  void clamp(Tensor x, float limit) override {
    for_rows(x, [&](int64_t r) {
      float* row = x.data + r * x.stride;
      for (int64_t i = 0; i < x.cols; ++i) row[i] = std::min(std::max(row[i], -limit), limit);
    });
  }

  void gate_rows(Tensor x, Tensor gate) override {
    for_rows(x, [&](int64_t r) {
      const float factor = 1.0f / (1.0f + std::exp(-gate.data[r * gate.stride]));
      context_.kernels.scale(x.data + r * x.stride, factor, x.cols);
    });
  }

  bool reads_packed(const Weight& weight) const override { return kernels::is_quantized(weight.type); }
  void pack(Tensor x, std::byte* to) override { pack_rows(context_, x, to); }
  void unpack(const std::byte* from, Tensor x) override { unpack_rows(context_, from, x); }
  void matmul_packed(std::span<const PackedColumns> x, int64_t n_rows,
                     std::span<const Linear> projections) override {
    matmul_.run_packed(x, n_rows, projections);
  }

  void gather_rows(Tensor x, std::span<const int32_t> rows, Tensor out) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::copy_n(x.data + rows[i] * x.stride, x.cols, out.data + static_cast<int64_t>(i) * out.stride);
    }
  }

  void route(Tensor logits, const RoutingParams& params, const Routing& out) override {
    EXO_DCHECK(logits.rows == out.rows && logits.cols % params.n_groups == 0);
    EXO_DCHECK(out.n_chosen <= logits.cols / params.n_groups * params.n_groups_chosen);
    experts_.route(logits, params, out);
  }

  void expert_matmul(Tensor x, const Routing& routing, std::span<const ExpertLinear> projections) override {
    EXO_DCHECK(x.rows == routing.rows || x.rows == routing.n_pairs());
    for (const ExpertLinear& p : projections) {
      EXO_DCHECK(p.weight->cols == x.cols && p.out.rows == routing.n_pairs() && p.out.cols == p.weight->rows);
      EXO_DCHECK(!p.bias || p.bias.size == p.weight->rows * p.weight->n_matrices);
    }
    experts_.multiply(x, routing, projections);
  }

  void scale_pairs(Tensor x, const Routing& routing) override {
    EXO_DCHECK(x.rows == routing.n_pairs());
    experts_.scale_pairs(x, routing);
  }

  void combine_experts(Tensor x, const Routing& routing, bool weighted, Tensor out, bool accumulate) override {
    EXO_DCHECK(x.rows == routing.n_pairs() && out.rows == routing.rows && x.cols == out.cols);
    experts_.combine(x, routing, weighted, out, accumulate);
  }

 private:
  template <typename Body>
  void for_rows(Tensor x, Body body) {
    context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) body(r);
    });
  }

  CpuContext context_;
  CpuMatmul matmul_{context_};
  CpuHeadMatmul matmul_heads_{context_};
  CpuExperts experts_{context_};
  CpuAttention attention_{context_};
  CpuRope rope_{context_};
  CpuRecurrence recurrence_{context_};
};

}  // namespace

std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options) { return std::make_unique<CpuOps>(options); }

}  // namespace exo::ops
