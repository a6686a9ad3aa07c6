// Matrix products: weights are cut into tiles of rows, which threads take one by one; a tile's weights are read
// once for all rows of x. A result is summed in the same order whatever the number of rows, tiles and threads.
#include <algorithm>

#include "ops/cpu/cpu_context.h"

namespace exo::ops {
namespace {

constexpr int64_t kTileRows = 2 * kernels::kPanelRows;
constexpr int64_t kWidenAbove = 3;  // rows of x from which float tiles are converted to f32 in the cache first

// Rows a multiple of 4096 bytes apart would share the few places of a cache set.
int64_t padded_stride(int64_t cols) { return (cols + 15) / 16 * 16 + 16; }

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

void prefetch(const std::byte* from, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(from + i, 0, 3);
}

}  // namespace

void CpuMatmul::quantize(Tensor x) {
  const int64_t supers = divide_up(x.cols, kernels::kSuperBlockElements);
  auto* blocks = activations_.get<kernels::ActivationBlock>(static_cast<size_t>(supers * x.rows));
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      context_.kernels.quantize_activations(x.data + r * x.stride, x.cols, blocks + r, x.rows);
    }
  });
  quantized_ = blocks;
}

void CpuMatmul::pad(Tensor x) {
  const int64_t stride = padded_stride(x.cols);
  padded_ = {padded_memory_.get<float>(static_cast<size_t>(x.rows * stride)), x.rows, x.cols, stride};
  context_.for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) std::copy_n(x.data + r * x.stride, x.cols, padded_.data + r * stride);
  });
}

void CpuMatmul::run(Tensor x, std::span<const Linear> projections) {
  if (x.rows == 0) return;
  x_ = x;
  jobs_.clear();
  int64_t tiles = 0, bytes = 0;
  bool any_quantized = false, any_float = false;
  for (const Linear& linear : projections) {
    const Weight& w = *linear.weight;
    const bool quantized = kernels::is_quantized(w.type);
    (quantized ? any_quantized : any_float) = true;
    const int64_t tile_rows = quantized && x.rows <= 16 ? kernels::kPanelRows : kTileRows;
    jobs_.push_back({&linear, quantized, static_cast<int64_t>(*row_bytes(w.type, static_cast<uint64_t>(w.cols))),
                     tile_rows, tiles});
    tiles += divide_up(w.rows, tile_rows);
    bytes += w.rows * jobs_.back().row_bytes;
  }
  if (any_quantized) quantize(x);
  if (any_float && x.rows > kWidenAbove) pad(x);
  // Chunks long enough to be one stream of memory, short enough that a slow core does not delay the end.
  const int64_t per_tile = std::max<int64_t>(1, bytes / std::max<int64_t>(1, tiles));
  int64_t grain =
      std::clamp<int64_t>(tiles / (context_.pool.size() * 8), 1, std::max<int64_t>(1, (1 << 20) / per_tile));
  if (context_.pool.size() == 1) grain = tiles;
  context_.pool.parallel_for(tiles, grain, [&](int64_t begin, int64_t end, int worker) {
    size_t j = 0;
    for (int64_t tile = begin; tile < end; ++tile) {
      while (j + 1 < jobs_.size() && jobs_[j + 1].first_tile <= tile) ++j;
      const Job& job = jobs_[j];
      if (job.quantized) {
        quantized_tile(job, tile - job.first_tile, worker);
      } else {
        float_tile(job, tile - job.first_tile, worker);
      }
    }
  });
}

void CpuMatmul::quantized_tile(const Job& job, int64_t tile, int worker) {
  const Weight& w = *job.linear->weight;
  const int64_t first_row = tile * job.tile_rows, n_rows = std::min(job.tile_rows, w.rows - first_row);
  const int n_panels = static_cast<int>(divide_up(n_rows, kernels::kPanelRows));
  const int64_t groups = w.cols / kernels::kGroup;
  constexpr size_t kPanelFloats = 2 * sizeof(kernels::Panel) / sizeof(float);
  const bool short_matrix = w.rows < kernels::kPanelRows;
  Scratch& memory = context_.worker_scratch[static_cast<size_t>(worker)];
  float* scratch =
      memory.get<float>(kPanelFloats + static_cast<size_t>(x_.rows * kTileRows) +
                        (short_matrix ? static_cast<size_t>(job.row_bytes) * kernels::kPanelRows / 4 : 0));
  auto* panels = reinterpret_cast<kernels::Panel*>(scratch);
  float* y = scratch + kPanelFloats;
  std::memset(y, 0, static_cast<size_t>(x_.rows * kTileRows) * sizeof(float));

  // A last panel of less than 16 rows begins earlier instead; the rows that it repeats are skipped at the end.
  const std::byte* base = w.data;
  int64_t panel_row[2];
  for (int p = 0; p < n_panels; ++p) {
    panel_row[p] = std::clamp<int64_t>(first_row + p * kernels::kPanelRows, 0,
                                       std::max<int64_t>(0, w.rows - kernels::kPanelRows));
  }
  if (short_matrix) {
    auto* copy = reinterpret_cast<std::byte*>(y + x_.rows * kTileRows);
    for (int64_t r = 0; r < kernels::kPanelRows; ++r) {
      std::memcpy(copy + r * job.row_bytes, w.data + std::min(r, w.rows - 1) * job.row_bytes,
                  static_cast<size_t>(job.row_bytes));
    }
    base = copy;
  }
  // The next tile follows in memory; asked for in step with the use of this one, it arrives as one stream.
  const std::byte* next = w.data + (first_row + n_rows) * job.row_bytes;
  const std::byte* end = w.data + w.rows * job.row_bytes;
  const int64_t supers = divide_up(groups, kernels::kGroupsPerSuper);
  const int64_t ahead = std::min<int64_t>(n_rows * job.row_bytes, end - next) / supers;
  const kernels::PanelKind kind = kernels::panel_kind(w.type);
  for (int64_t s = 0; s < supers; ++s) {
    const int64_t first = s * kernels::kGroupsPerSuper;
    const int64_t count = std::min<int64_t>(kernels::kGroupsPerSuper, groups - first);
    prefetch(next + s * ahead, ahead);
    for (int p = 0; p < n_panels; ++p) {
      context_.kernels.pack(w.type, {base + panel_row[p] * job.row_bytes, job.row_bytes}, first, count, panels[p]);
    }
    context_.kernels.multiply(kind, panels, n_panels, static_cast<int>(count), quantized_ + s * x_.rows, x_.rows, y,
                              kTileRows);
  }
  for (int p = 0; p < n_panels; ++p) {
    const int64_t begin = first_row + p * kernels::kPanelRows, skip = begin - panel_row[p];
    finish_tile(job, begin, std::min<int64_t>(kernels::kPanelRows, w.rows - begin),
                y + p * kernels::kPanelRows + skip);
  }
}

void CpuMatmul::float_tile(const Job& job, int64_t tile, int worker) {
  const Weight& w = *job.linear->weight;
  const int64_t first_row = tile * job.tile_rows, n_rows = std::min(job.tile_rows, w.rows - first_row);
  const bool widen = x_.rows > kWidenAbove;
  float* y = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
      static_cast<size_t>(x_.rows * kTileRows + (widen ? kTileRows * padded_stride(w.cols) : 0)));
  const std::byte* base = w.data + first_row * job.row_bytes;
  ElementType type = w.type;
  int64_t stride = job.row_bytes;
  Tensor x = x_;
  if (widen) {
    float* rows = y + x_.rows * kTileRows;
    const int64_t wide = padded_stride(w.cols);
    for (int64_t r = 0; r < n_rows; ++r) context_.kernels.widen(w.type, base + r * stride, rows + r * wide, w.cols);
    base = reinterpret_cast<const std::byte*>(rows);
    type = ElementType::kF32;
    stride = wide * static_cast<int64_t>(sizeof(float));
    x = padded_;
  }
  context_.kernels.dot(type, base, stride, n_rows, x.data, x.stride, x.rows, w.cols, y, kTileRows);
  finish_tile(job, first_row, n_rows, y);
}

void CpuMatmul::finish_tile(const Job& job, int64_t first_row, int64_t n_rows, const float* y) const {
  const Linear& linear = *job.linear;
  const float* bias = linear.bias ? linear.bias.data + first_row : nullptr;
  for (int64_t c = 0; c < x_.rows; ++c) {
    float* out = linear.out.data + c * linear.out.stride + first_row;
    const float* from = y + c * kTileRows;
    for (int64_t r = 0; r < n_rows; ++r) {
      float value = from[r];
      if (bias) value += bias[r];
      out[r] = linear.accumulate ? out[r] + value : value;
    }
  }
}

}  // namespace exo::ops
