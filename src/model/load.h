#pragma once
// From a file to a running stage.

#include <memory>

#include "formats/gguf.h"
#include "model/model_info.h"
#include "model/stage.h"
#include "ops/ops.h"

namespace exo::model {

// Reads the header's claims only: works on a file whose tensor data has not arrived yet (see GgufFile::open about
// sparse files). kUnsupported for an unknown architecture: the message says what it is and what is known.
Result<ModelInfo> read_model_info(const formats::GgufFile& file);

// Loads config.layers; touches no other block's bytes. Errors name the metadata key or tensor; kCancelled when
// `progress` (which may be empty) said so; kResourceExhausted when weights, cache or workspace do not fit.
// The stage keeps `file` alive; `ops` must outlive the stage, and both belong to one thread.
Result<std::unique_ptr<Stage>> load_stage(std::shared_ptr<const formats::GgufFile> file, const StageConfig& config,
                                          ops::Ops& ops, const LoadProgress& progress = {});

}  // namespace exo::model
