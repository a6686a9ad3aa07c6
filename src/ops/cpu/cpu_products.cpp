#include "ops/cpu/cpu_products.h"

#include <algorithm>

namespace exo::ops {
namespace {

constexpr int64_t kPairRows = 2 * kernels::kPanelRows;  // of the two panels that are multiplied together
constexpr int64_t kFloatRows = kernels::kFloatPanels * kernels::kPanelRows;
// With many columns a tile has so many rows that the columns' super-blocks, which the second-level cache holds, are
// used several times before the next ones come.
constexpr int64_t kManyColumns = 64, kMostTileRows = 128;
constexpr int64_t kColumnsAhead = 4;   // whose results are asked for before they are written
constexpr int64_t kColumnBlock = 512;  // columns whose activations and sums stay in that cache

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

constexpr int64_t kNearBytes = 24 << 10;     // of a tile that the first-level cache holds together with the next
constexpr int64_t kStreamBytes = 256 << 10;  // of one that the second-level cache does
// How far that cache is ahead: a few times what can be on its way at once.
constexpr int64_t kFarBytes = 64 << 10;
constexpr int64_t kColumnsOfPacking = 5;  // whose products take as long as packing

// Tiles for everybody, some of whom may be slow; multiples of `unit`.
int64_t rows_of_tile(const Product& product, int64_t unit, int threads) {
  if (product.columns.count < kManyColumns) return unit;
  return std::clamp(product.rows / (4 * threads) / unit * unit, unit, kMostTileRows);
}

}  // namespace

void CpuProducts::add(const Product& product) {
  if (product.columns.count == 0) return;
  const bool quantized = kernels::is_quantized(product.type);
  const bool straight = product.columns.count <= (quantized ? context_.kernels.straight_columns(product.type)
                                                            : kernels::kStraightFloatColumns);
  const int64_t unit = straight ? kernels::kPanelRows : quantized ? kPairRows : kFloatRows;
  const int64_t tile_rows = straight ? unit : rows_of_tile(product, unit, context_.pool.size());
  const int64_t first_tile =
      jobs_.empty() ? 0 : jobs_.back().first_tile + divide_up(jobs_.back().product.rows, jobs_.back().tile_rows);
  jobs_.push_back({product, quantized, straight,
                   static_cast<int64_t>(*row_bytes(product.type, static_cast<uint64_t>(product.cols))), tile_rows,
                   first_tile});
}

void CpuProducts::run() {
  if (jobs_.empty()) return;
  const int64_t tiles = jobs_.back().first_tile + divide_up(jobs_.back().product.rows, jobs_.back().tile_rows);
  int64_t bytes = 0;
  for (const Job& job : jobs_) bytes += job.product.rows * job.row_bytes;
  // Short, so that a slow core does not delay the end: a thread's pieces follow each other in memory.
  const int64_t per_tile = std::max<int64_t>(1, bytes / std::max<int64_t>(1, tiles));
  int64_t grain =
      std::clamp<int64_t>(tiles / (context_.pool.size() * 16), 1, std::max<int64_t>(1, (256 << 10) / per_tile));
  if (context_.pool.size() == 1) grain = tiles;
  context_.pool.parallel_for(tiles, grain, [&](int64_t begin, int64_t end, int worker) {
    const auto after = std::ranges::upper_bound(jobs_, begin, {}, &Job::first_tile);
    auto j = static_cast<size_t>(after - jobs_.begin()) - 1;
    for (int64_t tile = begin; tile < end; ++tile) {
      while (j + 1 < jobs_.size() && jobs_[j + 1].first_tile <= tile) ++j;
      const Job& job = jobs_[j];
      run_tile(job, tile - job.first_tile, worker);
    }
  });
}

// A last panel of less than 16 rows begins earlier instead; the rows that it repeats are skipped at the end.
int64_t CpuProducts::Tile::panel_row(int64_t panel, int64_t matrix_rows) const {
  return std::clamp<int64_t>(first_row + panel * kernels::kPanelRows, 0,
                             std::max<int64_t>(0, matrix_rows - kernels::kPanelRows));
}

void CpuProducts::run_tile(const Job& job, int64_t index, int worker) {
  const Product& w = job.product;
  Tile tile{.first_row = index * job.tile_rows};
  tile.n_rows = std::min(job.tile_rows, w.rows - tile.first_row);
  tile.base = w.matrix;
  const bool short_matrix = w.rows < kernels::kPanelRows;
  constexpr size_t kPanelFloats =
      std::max(2 * sizeof(kernels::Panel) / sizeof(float), size_t{kernels::kFloatPiece * kFloatRows});
  const int64_t block = std::min(w.columns.count, kColumnBlock);
  const auto sums = static_cast<size_t>(block * job.tile_rows);
  Scratch& memory = context_.worker_scratch[static_cast<size_t>(worker)];
  float* scratch = memory.get<float>(
      kPanelFloats + sums + (short_matrix ? static_cast<size_t>(job.row_bytes) * kernels::kPanelRows / 4 : 0));
  tile.panels = scratch;
  tile.y = scratch + kPanelFloats;
  if (short_matrix) {
    auto* copy = reinterpret_cast<std::byte*>(tile.y + sums);
    for (int64_t r = 0; r < kernels::kPanelRows; ++r) {
      std::memcpy(copy + r * job.row_bytes, w.matrix + std::min(r, w.rows - 1) * job.row_bytes,
                  static_cast<size_t>(job.row_bytes));
    }
    tile.base = copy;
  }
  for (tile.first_column = 0; tile.first_column < w.columns.count; tile.first_column += block) {
    tile.n_columns = std::min(block, w.columns.count - tile.first_column);
    std::memset(tile.y, 0, static_cast<size_t>(tile.n_columns * job.tile_rows) * sizeof(float));
    if (job.quantized) {
      sum_quantized(job, tile);
    } else {
      sum_floats(job, tile);
    }
    finish_tile(job, tile);
  }
}

// What comes after piece `s` of `n`, each of `bytes` of a row: a part of the next tile, or of a very large one the
// next piece.
kernels::Ahead CpuProducts::after(const Job& job, const Tile& tile, int64_t s, int64_t n, int64_t bytes) {
  const Product& w = job.product;
  const std::byte* begin = w.matrix + tile.first_row * job.row_bytes;
  const std::byte* next = begin + tile.n_rows * job.row_bytes;
  const int64_t rows = std::min(tile.n_rows, w.rows - tile.first_row - tile.n_rows);
  if (tile.n_rows * job.row_bytes <= kStreamBytes) {
    const int64_t part = rows * job.row_bytes / n;
    return {.from = next + s * part, .bytes = part};
  }
  if (s + 1 == n) return {.from = next, .bytes = bytes, .rows = rows, .stride = job.row_bytes};
  return {.from = begin + (s + 1) * bytes,
          .bytes = std::min(bytes, job.row_bytes - (s + 1) * bytes),
          .rows = tile.n_rows,
          .stride = job.row_bytes};
}

// Behind piece `s` of `n` of 16 rows that are read as they lie: the next tile, which follows in memory, where the
// first-level cache holds two, and what comes some way after.
kernels::RowsAhead CpuProducts::after_rows(const Job& job, const Tile& tile, int64_t s, int64_t n) {
  const Product& w = job.product;
  const std::byte *begin = w.matrix + tile.first_row * job.row_bytes, *end = w.matrix + w.rows * job.row_bytes;
  const int64_t tile_bytes = kernels::kPanelRows * job.row_bytes, part = tile_bytes / n;
  const std::byte *near = begin + tile_bytes + s * part, *far = begin + kFarBytes + s * part;
  const auto there_is = [&](const std::byte* at) { return std::clamp<int64_t>(end - at, 0, part); };
  return {.near = near,
          .near_bytes = tile_bytes <= kNearBytes ? there_is(near) : 0,
          .far = far,
          .far_bytes = there_is(far)};
}

void CpuProducts::sum_quantized(const Job& job, const Tile& tile) {
  const Product& w = job.product;
  const int64_t groups = w.cols / kernels::kGroup;
  int64_t done = 0;
  if (job.straight) {
    done = context_.kernels.multiply_rows(
        w.type, {.rows = {tile.base + tile.panel_row(0, w.rows) * job.row_bytes, job.row_bytes},
                 .groups = groups,
                 .x = w.columns.quantized + tile.first_column,
                 .x_stride = w.columns.count,
                 .n_columns = tile.n_columns,
                 .y = tile.y,
                 .y_stride = job.tile_rows,
                 .ahead = after_rows(job, tile, 0, 1)});
  }
  const int64_t supers = divide_up(groups, kernels::kGroupsPerSuper);
  const int64_t piece_bytes = job.row_bytes * kernels::kGroupsPerSuper / groups;
  for (; done < groups; done += kernels::kGroupsPerSuper) {
    const int64_t s = done / kernels::kGroupsPerSuper;
    const Piece piece{
        .first = done,
        .count = std::min<int64_t>(kernels::kGroupsPerSuper, groups - done),
        .x = w.columns.quantized + s * w.columns.count + tile.first_column,
        .ahead = after(job, tile, s, supers, piece_bytes),
    };
    for (int64_t row = 0; row < tile.n_rows; row += kPairRows) add_panels(job, tile, row, piece);
  }
}

void CpuProducts::finish_tile(const Job& job, const Tile& tile) {
  const int64_t matrix_rows = job.product.rows;
  // All rows but those of a last panel that began earlier.
  const int64_t last = (tile.n_rows - 1) / kernels::kPanelRows;
  const int64_t skip = tile.first_row + last * kernels::kPanelRows - tile.panel_row(last, matrix_rows);
  const int64_t whole = skip == 0 ? tile.n_rows : last * kernels::kPanelRows;
  Finished rows{.row = tile.first_row, .n_rows = whole, .column = tile.first_column, .n_columns = tile.n_columns};
  finish_rows(job, rows, tile.y);
  if (whole == tile.n_rows) return;
  rows.row += whole;
  rows.n_rows = tile.n_rows - whole;
  finish_rows(job, rows, tile.y + whole + skip);
}

// Up to two panels that begin `row` rows into the tile. What comes next is asked for in step with the computation.
void CpuProducts::add_panels(const Job& job, const Tile& tile, int64_t row, const Piece& piece) {
  const Product& w = job.product;
  const int64_t n_panels = std::min<int64_t>(2, divide_up(tile.n_rows - row, kernels::kPanelRows));
  const int64_t first = row / kernels::kPanelRows, all = divide_up(tile.n_rows, kernels::kPanelRows);
  const kernels::Ahead ahead = piece.ahead.part(first, first + n_panels, all);
  const int64_t steps = n_panels * (kColumnsOfPacking + tile.n_columns);
  auto* panels = reinterpret_cast<kernels::Panel*>(tile.panels);
  for (int64_t p = 0; p < n_panels; ++p) {
    const std::byte* rows = tile.base + tile.panel_row(first + p, w.rows) * job.row_bytes;
    context_.kernels.pack(w.type, {rows, job.row_bytes}, piece.first, piece.count,
                          ahead.part(p * kColumnsOfPacking, (p + 1) * kColumnsOfPacking, steps), panels[p]);
  }
  context_.kernels.multiply(kernels::panel_kind(w.type), panels, static_cast<int>(n_panels),
                            static_cast<int>(piece.count), piece.x, tile.n_columns,
                            ahead.part(n_panels * kColumnsOfPacking, steps, steps), tile.y + row, job.tile_rows);
}

void CpuProducts::sum_floats(const Job& job, const Tile& tile) {
  const Product& w = job.product;
  // Panels of many columns share the first-level cache with their activations.
  const int64_t length =
      tile.n_columns <= kernels::kStraightFloatColumns ? kernels::kFloatPiece : kernels::kFloatPiece / 2;
  const int64_t pieces = divide_up(w.cols, length), quads = divide_up(tile.n_rows, kFloatRows);
  for (int64_t s = 0; s < pieces; ++s) {
    const int64_t first = s * length, count = std::min(length, w.cols - first);
    const float* x = w.columns.floats + tile.first_column * w.columns.float_stride + first;
    if (job.straight && context_.kernels.multiply_float_rows(
                            w.type, {tile.base + tile.panel_row(0, w.rows) * job.row_bytes, job.row_bytes},
                            after_rows(job, tile, s, pieces), first, count, x, w.columns.float_stride,
                            tile.n_columns, tile.y, job.tile_rows)) {
      continue;
    }
    const auto ahead = after(job, tile, s, pieces, job.row_bytes * length / w.cols);
    for (int64_t row = 0; row < tile.n_rows; row += kFloatRows) {
      const int64_t n_panels =
          std::min<int64_t>(kernels::kFloatPanels, divide_up(tile.n_rows - row, kernels::kPanelRows));
      for (int64_t p = 0; p < n_panels; ++p) {
        const std::byte* base = tile.base + tile.panel_row(row / kernels::kPanelRows + p, w.rows) * job.row_bytes;
        context_.kernels.pack_floats(
            w.type, {base, job.row_bytes},
            ahead.part(row / kFloatRows * n_panels + p, row / kFloatRows * n_panels + p + 1, quads * n_panels),
            first, count, tile.panels + p * kernels::kFloatPiece * kernels::kPanelRows);
      }
      context_.kernels.multiply_floats(tile.panels, static_cast<int>(n_panels), count, x, w.columns.float_stride,
                                       tile.n_columns, tile.y + row, job.tile_rows);
    }
  }
}

void CpuProducts::finish_rows(const Job& job, const Finished& of, const float* y) {
  const Product& product = job.product;
  const float* bias = product.bias ? product.bias + of.row : nullptr;
  const auto out_of = [&](int64_t column) {
    return product.out.data + (product.out_rows ? product.out_rows[column] : column) * product.out.stride + of.row;
  };
  for (int64_t c = 0; c < of.n_columns; ++c) {
    const int64_t column = of.column + c;
    // Rows of the result are far apart: no processor foresees the next one.
    if (c + kColumnsAhead < of.n_columns) {
      const float* later = out_of(column + kColumnsAhead);
      for (int64_t r = 0; r < of.n_rows; r += 16) __builtin_prefetch(later + r, 1);
    }
    float* out = out_of(column);
    const float* from = y + c * job.tile_rows;
    if (bias == nullptr && !product.accumulate) {
      std::copy_n(from, of.n_rows, out);
    } else if (bias == nullptr) {
      for (int64_t r = 0; r < of.n_rows; ++r) out[r] += from[r];
    } else {
      for (int64_t r = 0; r < of.n_rows; ++r) {
        const float value = from[r] + bias[r];
        out[r] = product.accumulate ? out[r] + value : value;
      }
    }
  }
}

}  // namespace exo::ops
