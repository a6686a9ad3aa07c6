#pragma once
// Widths of the feed-forward halves, dense and with experts, and how a model's router chooses.

#include "base/result.h"
#include "formats/gguf.h"
#include "model/hyperparameters.h"
#include "model/metadata_reader.h"

namespace exo::model {

// kUnsupported for a router of an unknown kind, kCorrupt for numbers that do not fit each other.
Result<ExpertHyperparameters> read_experts(const MetadataReader& reader, const Architecture& architecture);

// Fills d_ff and d_expert of out.layers. A block has experts when the file has its router; its widths are then
// those of its tensors, since files of different age and family name them differently.
Status read_feed_forward_widths(const MetadataReader& reader, const formats::GgufFile& file, Hyperparameters& out);

}  // namespace exo::model
