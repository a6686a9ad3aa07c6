// Safetensors files from strangers: parse() must refuse or give views that lie inside the bytes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "formats/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = exo::formats::SafetensorsFile::parse(bytes);
  if (!file) return 0;
  uint32_t sum = 0;
  uint64_t total = 0;
  for (const auto& [name, tensor] : file->tensors()) {
    total += tensor.data.size();
    if (!tensor.data.empty()) {
      sum += static_cast<uint32_t>(tensor.data.front()) + static_cast<uint32_t>(tensor.data.back());
    }
    if (file->find(name) != &tensor || tensor.elements() < 0) std::abort();
    if (static_cast<uint64_t>(tensor.elements() * bytes_of(tensor.type)) != tensor.data.size()) std::abort();
  }
  if (total > size || sum == UINT32_MAX) std::abort();
  return 0;
}
