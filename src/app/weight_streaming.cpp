#include "app/weight_streaming.h"

#include "app/live_view.h"
#include "app/system_memory.h"
#include "base/log.h"
#include "model/stage_tensors.h"

namespace exo::app {

bool exceeds_memory(const formats::GgufFile& file, LayerRange layers, int32_t n_layers) {
  uint64_t bytes = 0;
  for (const auto* tensor : model::stage_tensors(file, layers, n_layers)) bytes += tensor->bytes();
  const uint64_t free = memory_available_bytes();
  if (bytes <= free) return false;
  log_warning("node",
              "{} of weights do not fit into {} of free memory: they are read from the disk for every token",
              human_bytes(bytes), human_bytes(free));
  return true;
}

}  // namespace exo::app
