#pragma once
// What a model file tells the cluster.

#include <string>

#include "base/result.h"
#include "formats/gguf.h"
#include "model/model_info.h"
#include "wire/messages.h"

namespace exo::app {

wire::ModelFacts facts_of(const model::ModelInfo& info, const std::string& name, const std::string& fingerprint,
                          uint64_t file_bytes);

}  // namespace exo::app
