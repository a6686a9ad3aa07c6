#pragma once
// From a file to a running stage.

#include <memory>
#include <vector>

#include "formats/gguf.h"
#include "model/model_info.h"
#include "model/stage.h"
#include "model/stage_tensors.h"
#include "ops/ops.h"

namespace exo::model {

// Reads the header's claims only: works on a file whose tensor data has not arrived yet (see GgufFile::open about
// sparse files). kUnsupported for an unknown architecture: the message says what it is and what is known.
Result<ModelInfo> read_model_info(const formats::GgufFile& file);

// What a device must have of a file before load_stage, besides its header: bytes of tensors, ordered and without
// overlaps. Of a share only its rows are, and all of what every member keeps (embedding, norms, routers). Reads the
// header only. Errors as load_stage, which refuses the same shares.
Result<std::vector<TensorPiece>> stage_pieces(const formats::GgufFile& file, LayerRange layers,
                                              const TensorShare& share);

// Loads config.layers; touches no other block's bytes. Errors name the metadata key or tensor; kCancelled when
// `progress` (which may be empty) said so; kResourceExhausted when weights, cache or workspace do not fit.
// The stage keeps `file` alive; `ops` must outlive the stage, and both belong to one thread.
Result<std::unique_ptr<Stage>> load_stage(std::shared_ptr<const formats::GgufFile> file, const StageConfig& config,
                                          ops::Ops& ops, const LoadProgress& progress = {});

}  // namespace exo::model
