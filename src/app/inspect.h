#pragma once
// `exo inspect FILE`: what is in a model file.

#include <string>

#include "base/result.h"
#include "formats/gguf.h"

namespace exo::app {

// A summary for people; with `tensors` also every tensor, with `metadata` every key. `output`: "text" or "json".
Result<std::string> inspect(const formats::GgufFile& file, bool metadata, bool tensors, const std::string& output);

}  // namespace exo::app
