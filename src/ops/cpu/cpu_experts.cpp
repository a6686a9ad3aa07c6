// A mixture of experts: rows are grouped by expert, so that each expert's weights are read once, by products that
// give a row the same bits whatever else is in its group.
#include "ops/cpu/cpu_experts.h"

#include <algorithm>

#include "ops/cpu/cpu_router.h"

namespace exo::ops {
namespace {

// The row of x that a pair reads: x has one for each pair, or one for all of a row's pairs.
int64_t source_row(const Tensor& x, const Routing& routing, int64_t pair) {
  return x.rows == routing.n_pairs() ? pair : pair / routing.n_chosen;
}

}  // namespace

void CpuExperts::route(Tensor logits, const RoutingParams& params, const Routing& out) {
  const int64_t n_experts = logits.cols;
  constexpr int64_t kGrain = 8;
  context_.pool.parallel_for(logits.rows, kGrain, [&](int64_t begin, int64_t end, int worker) {
    auto* scratch = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
        static_cast<size_t>(router_scratch_floats(n_experts, params.n_groups)));
    for (int64_t r = begin; r < end; ++r) {
      route_row({logits.data + r * logits.stride, static_cast<size_t>(n_experts)}, params, scratch,
                {out.experts + r * out.n_chosen, static_cast<size_t>(out.n_chosen)},
                {out.weights + r * out.n_chosen, static_cast<size_t>(out.n_chosen)});
    }
  });
}

// A counting sort.
void CpuExperts::group(const Routing& routing, int64_t n_experts) {
  const auto n_pairs = static_cast<size_t>(routing.n_pairs());
  starts_.assign(static_cast<size_t>(n_experts) + 1, 0);
  pairs_.resize(n_pairs);
  places_.resize(n_pairs);
  for (size_t p = 0; p < n_pairs; ++p) ++starts_[static_cast<size_t>(routing.experts[p]) + 1];
  for (size_t e = 1; e < starts_.size(); ++e) starts_[e] += starts_[e - 1];
  for (size_t p = 0; p < n_pairs; ++p) {
    const int32_t place = starts_[static_cast<size_t>(routing.experts[p])]++;
    pairs_[static_cast<size_t>(place)] = static_cast<int32_t>(p);
    places_[p] = place;
  }
  // Each start has moved to the next expert's.
  std::shift_right(starts_.begin(), starts_.end(), 1);
  starts_.front() = 0;
}

void CpuExperts::quantize(Tensor x, const Routing& routing) {
  const int64_t supers = (x.cols + kernels::kSuperBlockElements - 1) / kernels::kSuperBlockElements;
  auto* blocks = activations_.get<kernels::ActivationBlock>(static_cast<size_t>(supers * routing.n_pairs()));
  context_.for_rows(routing.n_pairs(), x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      const auto expert = static_cast<size_t>(routing.experts[p]);
      const int64_t first = starts_[expert], count = starts_[expert + 1] - first;
      const int64_t column = places_[static_cast<size_t>(p)] - first;
      context_.kernels.quantize_activations(x.data + source_row(x, routing, p) * x.stride, x.cols,
                                            blocks + supers * first + column, count);
    }
  });
  quantized_ = blocks;
}

void CpuExperts::gather(Tensor x, const Routing& routing) {
  const int64_t stride = prepared_stride(x.cols);
  auto* rows = gathered_.get<float>(static_cast<size_t>(routing.n_pairs() * stride));
  context_.for_rows(routing.n_pairs(), x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      std::copy_n(x.data + source_row(x, routing, p) * x.stride, x.cols,
                  rows + places_[static_cast<size_t>(p)] * stride);
    }
  });
  floats_ = rows;
}

PreparedColumns CpuExperts::columns_of(int64_t expert, int64_t cols) const {
  const auto e = static_cast<size_t>(expert);
  const int64_t supers = (cols + kernels::kSuperBlockElements - 1) / kernels::kSuperBlockElements;
  const int64_t stride = prepared_stride(cols), first = starts_[e];
  return {.count = starts_[e + 1] - first,
          .quantized = quantized_ ? quantized_ + supers * first : nullptr,
          .floats = floats_ ? floats_ + stride * first : nullptr,
          .float_stride = stride};
}

void CpuExperts::multiply(Tensor x, const Routing& routing, std::span<const ExpertLinear> projections) {
  if (routing.n_pairs() == 0 || projections.empty()) return;
  const int64_t n_experts = projections[0].weight->n_matrices;
  group(routing, n_experts);
  const auto is_quantized = [](const ExpertLinear& linear) { return kernels::is_quantized(linear.weight->type); };
  quantized_ = nullptr;
  floats_ = nullptr;
  if (std::ranges::any_of(projections, is_quantized)) quantize(x, routing);
  if (!std::ranges::all_of(projections, is_quantized)) gather(x, routing);
  products_.clear();
  for (int64_t e = 0; e < n_experts; ++e) {
    const auto columns = columns_of(e, x.cols);
    if (columns.count == 0) continue;
    for (const ExpertLinear& linear : projections) {
      const Weight& w = *linear.weight;
      products_.add({.type = w.type,
                     .rows = w.rows,
                     .cols = w.cols,
                     .matrix = w.matrix(e),
                     .columns = columns,
                     .out = linear.out,
                     .out_rows = pairs_.data() + starts_[static_cast<size_t>(e)],
                     .bias = linear.bias ? linear.bias.data + e * w.rows : nullptr});
    }
  }
  products_.run();
}

void CpuExperts::scale_pairs(Tensor x, const Routing& routing) {
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      context_.kernels.scale(x.data + p * x.stride, routing.weights[p], x.cols);
    }
  });
}

void CpuExperts::combine(Tensor x, const Routing& routing, bool weighted, Tensor out, bool accumulate) {
  context_.for_rows(out.rows, out.cols * routing.n_chosen, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* to = out.data + r * out.stride;
      if (!accumulate) std::fill_n(to, out.cols, 0.0f);
      for (int64_t p = r * routing.n_chosen; p < (r + 1) * routing.n_chosen; ++p) {
        const float* from = x.data + p * x.stride;
        const float weight = weighted ? routing.weights[p] : 1.0f;
        for (int64_t i = 0; i < out.cols; ++i) to[i] += weight * from[i];
      }
    }
  });
}

}  // namespace exo::ops
