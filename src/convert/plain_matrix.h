#pragma once
// A tensor of plain numbers as a MatrixSource.

#include "base/result.h"
#include "convert/matrix_source.h"
#include "formats/safetensors.h"

namespace exo::convert {

// F32, F16 and BF16 stay as they are, in place where the file has them aligned; F64 is read as F32. All dimensions
// but the last are rows. kUnsupported for other number formats and for tensors without elements. `tensor` and its
// bytes outlive the result.
Result<MatrixPtr> plain_matrix(const formats::SafetensorsTensor& tensor);

}  // namespace exo::convert
