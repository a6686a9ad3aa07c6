#pragma once
// Matrices of equal size as the bytes of one tensor.

#include <memory>
#include <vector>

#include "base/result.h"
#include "convert/matrix_source.h"
#include "formats/tensor_view.h"

namespace exo::convert {

// `matrices` are not empty and have one shape and number format; the tensor has theirs and, of several, one
// dimension more. They are used in place where all of them lie in files.
std::shared_ptr<const formats::TensorContent> content_of(std::vector<MatrixPtr> matrices);

}  // namespace exo::convert
