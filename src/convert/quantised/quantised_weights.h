#pragma once
// Weights that a folder stores in fewer bits than their numbers need, with scales beside them.

#include <string_view>

#include "base/result.h"
#include "convert/matrix_source.h"
#include "convert/model_folder.h"

namespace exo::convert {

// The weight of `module` ("model.layers.0.self_attn.q_proj") when config.json names a scheme and the folder stores
// this module with it. kNotFound when it is stored plainly, or not at all; kUnsupported names a scheme that is not
// known. The folder outlives the result.
Result<MatrixPtr> find_quantised_weight(const ModelFolder& folder, std::string_view module);

}  // namespace exo::convert
