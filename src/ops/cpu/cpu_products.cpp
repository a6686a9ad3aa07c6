#include "ops/cpu/cpu_products.h"

#include <algorithm>

namespace exo::ops {
namespace {

constexpr int64_t kTileRows = 2 * kernels::kPanelRows;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

void CpuProducts::add(const Product& product) {
  if (product.columns.count == 0) return;
  const bool quantized = kernels::is_quantized(product.type);
  const bool straight = quantized && product.columns.count <= context_.kernels.straight_columns(product.type);
  const int64_t tile_rows = straight ? kernels::kPanelRows : kTileRows;
  const int64_t first_tile =
      jobs_.empty() ? 0 : jobs_.back().first_tile + divide_up(jobs_.back().product.rows, jobs_.back().tile_rows);
  jobs_.push_back({product, quantized,
                   static_cast<int64_t>(*row_bytes(product.type, static_cast<uint64_t>(product.cols))), tile_rows,
                   first_tile});
}

void CpuProducts::run() {
  if (jobs_.empty()) return;
  const int64_t tiles = jobs_.back().first_tile + divide_up(jobs_.back().product.rows, jobs_.back().tile_rows);
  int64_t bytes = 0;
  for (const Job& job : jobs_) bytes += job.product.rows * job.row_bytes;
  // Chunks long enough to be one stream of memory, short enough that a slow core does not delay the end.
  const int64_t per_tile = std::max<int64_t>(1, bytes / std::max<int64_t>(1, tiles));
  int64_t grain =
      std::clamp<int64_t>(tiles / (context_.pool.size() * 8), 1, std::max<int64_t>(1, (1 << 20) / per_tile));
  if (context_.pool.size() == 1) grain = tiles;
  context_.pool.parallel_for(tiles, grain, [&](int64_t begin, int64_t end, int worker) {
    const auto after = std::ranges::upper_bound(jobs_, begin, {}, &Job::first_tile);
    auto j = static_cast<size_t>(after - jobs_.begin()) - 1;
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

void CpuProducts::quantized_tile(const Job& job, int64_t tile, int worker) {
  const Product& w = job.product;
  const int64_t first_row = tile * job.tile_rows, n_rows = std::min(job.tile_rows, w.rows - first_row);
  const int n_panels = static_cast<int>(divide_up(n_rows, kernels::kPanelRows));
  const int64_t groups = w.cols / kernels::kGroup;
  constexpr size_t kPanelFloats = 2 * sizeof(kernels::Panel) / sizeof(float);
  const bool short_matrix = w.rows < kernels::kPanelRows;
  const int64_t n_columns = w.columns.count;
  Scratch& memory = context_.worker_scratch[static_cast<size_t>(worker)];
  float* scratch =
      memory.get<float>(kPanelFloats + static_cast<size_t>(n_columns * kTileRows) +
                        (short_matrix ? static_cast<size_t>(job.row_bytes) * kernels::kPanelRows / 4 : 0));
  auto* panels = reinterpret_cast<kernels::Panel*>(scratch);
  float* y = scratch + kPanelFloats;
  std::memset(y, 0, static_cast<size_t>(n_columns * kTileRows) * sizeof(float));

  // A last panel of less than 16 rows begins earlier instead; the rows that it repeats are skipped at the end.
  const std::byte* base = w.matrix;
  int64_t panel_row[2];
  for (int p = 0; p < n_panels; ++p) {
    panel_row[p] = std::clamp<int64_t>(first_row + p * kernels::kPanelRows, 0,
                                       std::max<int64_t>(0, w.rows - kernels::kPanelRows));
  }
  if (short_matrix) {
    auto* copy = reinterpret_cast<std::byte*>(y + n_columns * kTileRows);
    for (int64_t r = 0; r < kernels::kPanelRows; ++r) {
      std::memcpy(copy + r * job.row_bytes, w.matrix + std::min(r, w.rows - 1) * job.row_bytes,
                  static_cast<size_t>(job.row_bytes));
    }
    base = copy;
  }
  // The next tile follows in memory; asked for in step with the use of this one, it arrives as one stream.
  const std::byte* next = w.matrix + (first_row + n_rows) * job.row_bytes;
  const std::byte* end = w.matrix + w.rows * job.row_bytes;
  const int64_t supers = divide_up(groups, kernels::kGroupsPerSuper);
  const int64_t ahead = std::min<int64_t>(n_rows * job.row_bytes, end - next) / supers;
  const kernels::PanelKind kind = kernels::panel_kind(w.type);
  const bool straight = job.tile_rows == kernels::kPanelRows;
  for (int64_t s = 0; s < supers; ++s) {
    const int64_t first = s * kernels::kGroupsPerSuper;
    const int64_t count = std::min<int64_t>(kernels::kGroupsPerSuper, groups - first);
    if (straight && context_.kernels.multiply_rows(w.type, {base + panel_row[0] * job.row_bytes, job.row_bytes},
                                                   {next + s * ahead, ahead}, first, count,
                                                   w.columns.quantized + s * n_columns, n_columns, y, kTileRows)) {
      continue;
    }
    kernels::Ahead{next + s * ahead, ahead}.ask(0, 1);
    for (int p = 0; p < n_panels; ++p) {
      context_.kernels.pack(w.type, {base + panel_row[p] * job.row_bytes, job.row_bytes}, first, count, panels[p]);
    }
    context_.kernels.multiply(kind, panels, n_panels, static_cast<int>(count), w.columns.quantized + s * n_columns,
                              n_columns, y, kTileRows);
  }
  for (int p = 0; p < n_panels; ++p) {
    const int64_t begin = first_row + p * kernels::kPanelRows, skip = begin - panel_row[p];
    finish_tile(job, begin, std::min<int64_t>(kernels::kPanelRows, w.rows - begin),
                y + p * kernels::kPanelRows + skip);
  }
}

void CpuProducts::float_tile(const Job& job, int64_t tile, int worker) {
  const Product& w = job.product;
  const auto& x = w.columns;
  const int64_t first_row = tile * job.tile_rows, n_rows = std::min(job.tile_rows, w.rows - first_row);
  const bool widen = x.count >= kWideColumns;
  const int64_t wide = prepared_stride(w.cols);
  float* y = context_.worker_scratch[static_cast<size_t>(worker)].get<float>(
      static_cast<size_t>(x.count * kTileRows + (widen ? kTileRows * wide : 0)));
  const std::byte* base = w.matrix + first_row * job.row_bytes;
  ElementType type = w.type;
  int64_t stride = job.row_bytes;
  if (widen) {
    float* rows = y + x.count * kTileRows;
    for (int64_t r = 0; r < n_rows; ++r) context_.kernels.widen(w.type, base + r * stride, rows + r * wide, w.cols);
    base = reinterpret_cast<const std::byte*>(rows);
    type = ElementType::kF32;
    stride = wide * static_cast<int64_t>(sizeof(float));
  }
  context_.kernels.dot(type, base, stride, n_rows, x.floats, x.float_stride, x.count, w.cols, y, kTileRows);
  finish_tile(job, first_row, n_rows, y);
}

void CpuProducts::finish_tile(const Job& job, int64_t first_row, int64_t n_rows, const float* y) {
  const Product& product = job.product;
  const float* bias = product.bias ? product.bias + first_row : nullptr;
  for (int64_t c = 0; c < product.columns.count; ++c) {
    const int64_t out_row = product.out_rows ? product.out_rows[c] : c;
    float* out = product.out.data + out_row * product.out.stride + first_row;
    const float* from = y + c * kTileRows;
    for (int64_t r = 0; r < n_rows; ++r) {
      float value = from[r];
      if (bias) value += bias[r];
      out[r] = product.accumulate ? out[r] + value : value;
    }
  }
}

}  // namespace exo::ops
