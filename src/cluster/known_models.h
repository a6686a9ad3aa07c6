#pragma once
// The sizes of well-known models in any number format, so that placements can be planned without their files.

#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/messages.h"

namespace exo::cluster {

// "llama-3.1-405b@Q4_K": a shape and the number format of its matrices (default Q4_K; the output head of a 4-bit
// model is Q6_K, as in published files; Q8_0 where a row is no whole number of blocks). Shapes are from the models'
// published config.json. kInvalidArgument lists the known ones.
Result<wire::ModelFacts> known_model(std::string_view name_at_format);

std::string known_model_names();  // "llama-3.2-1b, …"

}  // namespace exo::cluster
