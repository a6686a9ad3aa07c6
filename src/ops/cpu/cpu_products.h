#pragma once
// Products of prepared activations with weight matrices: what dense and expert matrix products share.

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/panel.h"
#include "ops/cpu/cpu_context.h"

namespace exo::ops {

// Activations as the product kernels read them, "columns" of a product.
struct PreparedColumns {
  int64_t count = 0;
  const kernels::ActivationBlock* quantized = nullptr;  // [super-blocks][count], for quantised weights
  const float* floats = nullptr;                        // [count, cols], for float weights
  int64_t float_stride = 0;                             // prepared_stride() from kWideColumns columns on
};

inline constexpr int64_t kWideColumns = 4;  // columns from which float activations are padded

// Rows a multiple of 4096 bytes apart would share the few places of a cache set.
inline int64_t prepared_stride(int64_t cols) { return (cols + 15) / 16 * 16 + 16; }

// out.row(out_rows[c], or c) = column c · matrixᵀ (+ bias) (+ out when `accumulate`).
struct Product {
  ElementType type = ElementType::kF32;
  int64_t rows = 0, cols = 0;
  const std::byte* matrix = nullptr;
  PreparedColumns columns;
  Tensor out;
  const int32_t* out_rows = nullptr;
  const float* bias = nullptr;
  bool accumulate = false;
};

// Cuts weights into tiles of rows, which threads take one by one; a tile's weights are read once for all columns. A
// result is summed in the same order whatever the number of columns, tiles and threads.
class CpuProducts {
 public:
  explicit CpuProducts(CpuContext& context) : context_(context) {}

  void clear() { jobs_.clear(); }
  void add(const Product& product);
  void run();

 private:
  struct Job {
    Product product;
    bool quantized;
    bool straight;  // without panels
    int64_t row_bytes;
    int64_t tile_rows;
    int64_t first_tile;  // in the numbering of all jobs
  };
  // Rows of a quantised weight and a block of columns; y: [n_columns, job.tile_rows].
  struct Tile {
    int64_t first_row = 0, n_rows = 0, first_column = 0, n_columns = 0;
    const std::byte* base = nullptr;  // the matrix, or 16 rows of it when it has fewer
    float* panels = nullptr;          // two Panels, or kFloatPanels of float weights
    float* y = nullptr;
    int64_t panel_row(int64_t panel, int64_t matrix_rows) const;
  };
  // A super-block of its columns.
  struct Piece {
    int64_t first, count;  // groups
    const kernels::ActivationBlock* x;
    kernels::Ahead ahead;
  };
  struct Finished {
    int64_t row, n_rows, column, n_columns;
  };
  void run_tile(const Job& job, int64_t index, int worker);
  static kernels::Ahead after(const Job& job, const Tile& tile, int64_t s, int64_t n, int64_t bytes);
  static kernels::RowsAhead after_rows(const Job& job, const Tile& tile, int64_t s, int64_t n);
  void sum_quantized(const Job& job, const Tile& tile);
  void add_panels(const Job& job, const Tile& tile, int64_t row, const Piece& piece);
  void sum_floats(const Job& job, const Tile& tile);
  static void finish_tile(const Job& job, const Tile& tile);
  static void finish_rows(const Job& job, const Finished& of, const float* y);

  CpuContext& context_;
  std::vector<Job> jobs_;
};

}  // namespace exo::ops
