#include "convert/matrix_views.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "kernels/dequantize.h"

namespace exo::convert {
namespace {

size_t bytes_of_row(const MatrixSource& matrix) {
  return *row_bytes(matrix.type(), static_cast<uint64_t>(matrix.cols()));
}

// Bytes of one number; 0 for formats that hold blocks of them.
size_t plain_bytes(ElementType type) {
  return info(type).block_elements == 1 ? static_cast<size_t>(info(type).block_bytes) : 0;
}

bool fits(const Range& range, int64_t total) {
  return range.first >= 0 && range.count > 0 && range.step > 0 && range.first < total &&
         (range.count - 1) <= (total - 1 - range.first) / range.step;
}

Result<int64_t> check_ranges(std::span<const Range> ranges, int64_t total, const char* what) {
  int64_t count = 0;
  for (const auto& range : ranges) {
    if (!fits(range, total)) {
      return fail(ErrorCode::kCorrupt, "{} {} {} are not in a matrix of {}", range.count, what, range.first, total);
    }
    count += range.count;
  }
  if (count == 0) return fail(ErrorCode::kCorrupt, "no {} are left of a matrix", what);
  return count;
}

class SelectedRows final : public MatrixSource {
 public:
  SelectedRows(MatrixPtr base, std::vector<Range> ranges, int64_t rows)
      : MatrixSource(base->type(), rows, base->cols()), base_(std::move(base)), ranges_(std::move(ranges)) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const size_t row = bytes_of_row(*this);
    for (const auto& range : ranges_) {
      if (first >= range.count) {
        first -= range.count;
        continue;
      }
      int64_t here = std::min(count, range.count - first);
      count -= here;
      while (here > 0) {
        const int64_t together = range.step == 1 ? here : 1;
        EXO_CHECK_OK(base_->read(range.first + first * range.step, together, out.first(row * together)));
        out = out.subspan(row * together);
        first += together;
        here -= together;
      }
      first = 0;
      if (count == 0) break;
    }
    return {};
  }
  std::span<const std::byte> in_place() const override {
    const auto all = base_->in_place();
    if (ranges_.size() != 1 || (ranges_[0].step != 1 && ranges_[0].count != 1) || all.empty()) return {};
    const size_t row = bytes_of_row(*this);
    return all.subspan(static_cast<size_t>(ranges_[0].first) * row, static_cast<size_t>(rows()) * row);
  }

 private:
  MatrixPtr base_;
  std::vector<Range> ranges_;
};

class SelectedColumns final : public MatrixSource {
 public:
  SelectedColumns(MatrixPtr base, std::vector<Range> byte_ranges, size_t unit, int64_t cols)
      : MatrixSource(base->type(), base->rows(), cols),
        base_(std::move(base)),
        ranges_(std::move(byte_ranges)),
        unit_(unit) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    std::vector<std::byte> row(bytes_of_row(*base_));
    std::byte* to = out.data();
    for (int64_t r = first; r < first + count; ++r) {
      EXO_CHECK_OK(base_->read(r, 1, row));
      for (const auto& range : ranges_) {
        for (int64_t i = 0; i < range.count; ++i, to += unit_) {
          std::memcpy(to, row.data() + static_cast<size_t>(range.first + i * range.step) * unit_, unit_);
        }
      }
    }
    return {};
  }

 private:
  MatrixPtr base_;
  std::vector<Range> ranges_;  // in units
  size_t unit_;                // bytes of a number or block
};

class Transposed final : public MatrixSource {
 public:
  Transposed(MatrixPtr base, int64_t n)
      : MatrixSource(base->type(), base->cols() * n, base->rows() / n), base_(std::move(base)) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const int64_t per_matrix = base_->cols();
    const size_t out_row = bytes_of_row(*this);
    while (count > 0) {
      const int64_t matrix = first / per_matrix, begin = first % per_matrix;
      const int64_t here = std::min(count, per_matrix - begin);
      EXO_CHECK_OK(read_from(matrix, begin, here, out.first(static_cast<size_t>(here) * out_row)));
      out = out.subspan(static_cast<size_t>(here) * out_row);
      first += here;
      count -= here;
    }
    return {};
  }

 private:
  // Columns [begin, begin + count) of one matrix of the base, as rows.
  Status read_from(int64_t matrix, int64_t begin, int64_t count, std::span<std::byte> out) const {
    const size_t unit = plain_bytes(type());
    const size_t base_row = bytes_of_row(*base_);
    const auto n = static_cast<size_t>(cols());
    auto from = base_->in_place();
    std::vector<std::byte> copy;
    if (!from.empty()) {
      from = from.subspan(static_cast<size_t>(matrix) * n * base_row, n * base_row);
    } else {
      copy.resize(n * base_row);
      EXO_CHECK_OK(base_->read(matrix * cols(), cols(), copy));
      from = copy;
    }
    for (size_t j = 0; j < n; ++j) {
      const std::byte* source = from.data() + j * base_row + static_cast<size_t>(begin) * unit;
      std::byte* to = out.data() + j * unit;
      for (int64_t i = 0; i < count; ++i, source += unit, to += n * unit) std::memcpy(to, source, unit);
    }
    return {};
  }

  MatrixPtr base_;
};

class StackedRows final : public MatrixSource {
 public:
  StackedRows(std::vector<MatrixPtr> parts, int64_t rows)
      : MatrixSource(parts[0]->type(), rows, parts[0]->cols()), parts_(std::move(parts)) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const size_t row = bytes_of_row(*this);
    for (const auto& part : parts_) {
      if (first >= part->rows()) {
        first -= part->rows();
        continue;
      }
      const int64_t here = std::min(count, part->rows() - first);
      EXO_CHECK_OK(part->read(first, here, out.first(static_cast<size_t>(here) * row)));
      out = out.subspan(static_cast<size_t>(here) * row);
      count -= here;
      first = 0;
      if (count == 0) break;
    }
    return {};
  }

 private:
  std::vector<MatrixPtr> parts_;
};

// Rows of another length over the same numbers.
class Reshaped final : public MatrixSource {
 public:
  Reshaped(MatrixPtr base, int64_t rows, int64_t cols)
      : MatrixSource(base->type(), rows, cols), base_(std::move(base)) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    if (const auto all = in_place(); !all.empty()) {
      std::memcpy(out.data(), all.data() + static_cast<size_t>(first) * bytes_of_row(*this), out.size());
      return {};
    }
    if (count == 0) return {};
    const size_t unit = plain_bytes(type());
    const int64_t begin = first * cols() / base_->cols();
    const int64_t end = ((first + count) * cols() + base_->cols() - 1) / base_->cols();
    std::vector<std::byte> copy(static_cast<size_t>(end - begin) * bytes_of_row(*base_));
    EXO_CHECK_OK(base_->read(begin, end - begin, copy));
    std::memcpy(out.data(), copy.data() + static_cast<size_t>(first * cols() - begin * base_->cols()) * unit,
                out.size());
    return {};
  }
  std::span<const std::byte> in_place() const override { return base_->in_place(); }

 private:
  MatrixPtr base_;
};

class Mapped final : public MatrixSource {
 public:
  Mapped(MatrixPtr base, float (*function)(float))
      : MatrixSource(ElementType::kF32, base->rows(), base->cols()), base_(std::move(base)), function_(function) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    std::vector<std::byte> row(bytes_of_row(*base_));
    std::vector<float> numbers(static_cast<size_t>(cols()));
    const size_t out_row = numbers.size() * sizeof(float);
    for (int64_t i = 0; i < count; ++i) {
      EXO_CHECK_OK(base_->read(first + i, 1, row));
      kernels::dequantize_row(base_->type(), row.data(), numbers.data(), cols());
      for (float& number : numbers) number = function_(number);
      std::memcpy(out.data() + static_cast<size_t>(i) * out_row, numbers.data(), out_row);
    }
    return {};
  }

 private:
  MatrixPtr base_;
  float (*function_)(float);
};

class OwnedVector final : public MatrixSource {
 public:
  explicit OwnedVector(std::vector<float> numbers)
      : MatrixSource(ElementType::kF32, 1, static_cast<int64_t>(numbers.size())), numbers_(std::move(numbers)) {}

  Status read(int64_t, int64_t count, std::span<std::byte> out) const override {
    if (count > 0) std::memcpy(out.data(), numbers_.data(), out.size());
    return {};
  }

 private:
  std::vector<float> numbers_;
};

}  // namespace

Result<MatrixPtr> select_rows(MatrixPtr matrix, std::vector<Range> ranges) {
  EXO_TRY(const int64_t rows, check_ranges(ranges, matrix->rows(), "rows from"));
  return std::make_shared<SelectedRows>(std::move(matrix), std::move(ranges), rows);
}

Result<MatrixPtr> select_columns(MatrixPtr matrix, std::vector<Range> ranges) {
  EXO_TRY(const int64_t cols, check_ranges(ranges, matrix->cols(), "columns from"));
  const auto& type = info(matrix->type());
  for (auto& range : ranges) {
    if (type.block_elements == 1) continue;
    if (range.step != 1 || range.first % type.block_elements != 0 || range.count % type.block_elements != 0) {
      return fail(ErrorCode::kUnsupported, "columns that cut the blocks of {}", type.name);
    }
    range = {range.first / type.block_elements, range.count / type.block_elements, 1};
  }
  return std::make_shared<SelectedColumns>(std::move(matrix), std::move(ranges),
                                           static_cast<size_t>(type.block_bytes), cols);
}

Result<MatrixPtr> transpose(MatrixPtr matrix, int64_t n_matrices) {
  if (plain_bytes(matrix->type()) == 0) {
    return fail(ErrorCode::kUnsupported, "a transposed matrix of {}", info(matrix->type()).name);
  }
  if (n_matrices < 1 || matrix->rows() % n_matrices != 0) {
    return fail(ErrorCode::kCorrupt, "{} rows are not {} matrices", matrix->rows(), n_matrices);
  }
  return std::make_shared<Transposed>(std::move(matrix), n_matrices);
}

Result<MatrixPtr> stack_rows(std::vector<MatrixPtr> matrices) {
  EXO_CHECK(!matrices.empty());
  int64_t rows = 0;
  for (const auto& matrix : matrices) {
    if (matrix->cols() != matrices[0]->cols() || matrix->type() != matrices[0]->type()) {
      return fail(ErrorCode::kCorrupt, "parts of one matrix have {} columns of {} and {} of {}",
                  matrices[0]->cols(), info(matrices[0]->type()).name, matrix->cols(), info(matrix->type()).name);
    }
    rows += matrix->rows();
  }
  if (matrices.size() == 1) return matrices[0];
  return std::make_shared<StackedRows>(std::move(matrices), rows);
}

Result<MatrixPtr> reshape(MatrixPtr matrix, int64_t rows, int64_t cols) {
  int64_t numbers = 0;
  if (rows < 1 || cols < 1 || __builtin_mul_overflow(rows, cols, &numbers) ||
      numbers != matrix->rows() * matrix->cols()) {
    return fail(ErrorCode::kCorrupt, "a tensor of {} × {} where {} × {} was expected", matrix->rows(),
                matrix->cols(), rows, cols);
  }
  if (rows == matrix->rows()) return matrix;
  if (plain_bytes(matrix->type()) == 0) {
    return fail(ErrorCode::kUnsupported, "other rows over a matrix of {}", info(matrix->type()).name);
  }
  return std::make_shared<Reshaped>(std::move(matrix), rows, cols);
}

Result<MatrixPtr> map_numbers(MatrixPtr matrix, float (*function)(float)) {
  if (!kernels::can_dequantize(matrix->type())) {
    return fail(ErrorCode::kUnsupported, "{} has no dequantisation", info(matrix->type()).name);
  }
  return std::make_shared<Mapped>(std::move(matrix), function);
}

MatrixPtr make_vector(std::vector<float> numbers) { return std::make_shared<OwnedVector>(std::move(numbers)); }

}  // namespace exo::convert
