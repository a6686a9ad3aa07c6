// GGUF headers from strangers: parse() must refuse or give views that lie inside the bytes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "formats/gguf.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto file = exo::formats::GgufFile::parse(bytes);
  if (!file) return 0;
  uint32_t sum = 0;
  for (const auto& tensor : file->tensors()) {
    if (!tensor.data.empty())
      sum += static_cast<uint32_t>(tensor.data.front()) + static_cast<uint32_t>(tensor.data.back());
    if (file->find_tensor(tensor.name) != &tensor || tensor.elements() <= 0) std::abort();
  }
  for (const auto& [key, value] : file->metadata().values) {
    sum += file->metadata().integer(key).has_value() + file->metadata().strings(key).has_value() +
           file->metadata().numbers(key).has_value() + file->metadata().integers(key).has_value();
  }
  if (sum == UINT32_MAX) std::abort();  // never reached: keeps the reads
  return 0;
}
