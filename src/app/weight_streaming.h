#pragma once

#include "base/ids.h"
#include "formats/gguf.h"

namespace exo::app {

// The tensors of these layers are more bytes than the memory that is free now (StageConfig::stream_weights). Says so
// in the log. Reading blocks ahead on a thread of its own and letting go of used ones was tried: the system's own
// read-ahead at the faults of the computing threads is faster.
bool exceeds_memory(const formats::GgufFile& file, LayerRange layers, int32_t n_layers);

}  // namespace exo::app
