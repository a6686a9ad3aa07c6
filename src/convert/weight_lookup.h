#pragma once
// A weight of a folder by the module it belongs to, however the folder stores it.

#include <string_view>

#include "base/result.h"
#include "convert/matrix_source.h"
#include "convert/model_folder.h"

namespace exo::convert {

// `module`: a path without ".weight", "model.layers.0.self_attn.q_proj". Tries the plain tensor first, then what
// find_quantised_weight knows. Tensors of more than two dimensions are one matrix of all their rows; vectors are
// one row. kNotFound when the folder has nothing of that name. The folder outlives the result.
Result<MatrixPtr> find_weight(const ModelFolder& folder, std::string_view module);

// A plain tensor of any name. kNotFound; kUnsupported when its numbers are no weights (integers).
Result<MatrixPtr> find_tensor(const ModelFolder& folder, std::string_view name);

}  // namespace exo::convert
