#pragma once
// Keys of the GGUF view: those of every family, and those that only some have.

#include "convert/family.h"

namespace exo::convert {

Result<ModelShape> read_shape(const ConfigFields& config);

// Widths, heads, norms, windows, experts; then the family's own.
Status put_metadata(const MetadataInput& input);

Status cohere_metadata(const MetadataInput& input);
Status deepseek2_metadata(const MetadataInput& input);
Status delta_net_metadata(const MetadataInput& input);
Status gemma_metadata(const MetadataInput& input);
Status granite_metadata(const MetadataInput& input);
Status hunyuan_metadata(const MetadataInput& input);
Status llama4_metadata(const MetadataInput& input);
Status minicpm_metadata(const MetadataInput& input);
Status ministral_metadata(const MetadataInput& input);
Status neox_metadata(const MetadataInput& input);
Status olmo_metadata(const MetadataInput& input);
Status stablelm_metadata(const MetadataInput& input);

}  // namespace exo::convert
