#pragma once
// Matrices made of other matrices. Nothing is held but what is said here: rows are produced when they are read.

#include <span>
#include <vector>

#include "base/result.h"
#include "convert/matrix_source.h"

namespace exo::convert {

// `count` rows or columns from `first`, every `step`-th.
struct Range {
  int64_t first = 0;
  int64_t count = 0;
  int64_t step = 1;
};

// The rows of these ranges below each other; one range without gaps stays in place. kCorrupt beyond the matrix.
Result<MatrixPtr> select_rows(MatrixPtr matrix, std::vector<Range> ranges);
// The columns of these ranges side by side. kUnsupported where a range cuts a block of a number format.
Result<MatrixPtr> select_columns(MatrixPtr matrix, std::vector<Range> ranges);
// Seen as `n_matrices` of equal size below each other, each transposed. kUnsupported for blocks of numbers.
Result<MatrixPtr> transpose(MatrixPtr matrix, int64_t n_matrices = 1);
// Below each other; all of one width and number format, kCorrupt otherwise.
Result<MatrixPtr> stack_rows(std::vector<MatrixPtr> matrices);
// The same numbers in other rows. kCorrupt when they do not fill them; for plain numbers only.
Result<MatrixPtr> reshape(MatrixPtr matrix, int64_t rows, int64_t cols);
// Each number through a function, as F32. kUnsupported for a number format without dequantisation.
Result<MatrixPtr> map_numbers(MatrixPtr matrix, float (*function)(float));
// One row of these numbers, in F32.
MatrixPtr make_vector(std::vector<float> numbers);

}  // namespace exo::convert
