#pragma once
// Rotary position embeddings: config.json's ways of saying which, as GGUF keys and tensors.

#include "convert/family.h"

namespace exo::convert {

// rope.* keys and, for llama3 and longrope scaling, the tensors with frequency factors. `rotated`: the dimensions
// of a head that take part. kUnsupported names a scaling that is not known.
Status put_rope(const MetadataInput& input, ViewBuilder& view);

}  // namespace exo::convert
