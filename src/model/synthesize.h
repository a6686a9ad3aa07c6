#pragma once
// Models with random weights in the true shape of known ones: for speed, placement and failure tests without a
// download. Their text is invented words.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/element_type.h"
#include "base/result.h"

namespace exo::model {

struct SynthOptions {
  std::string shape = "llama-3.2-1b";  // one of synth_shapes()
  int32_t n_layers = 0;                // 0: the shape's own
  // F32, F16, BF16, Q4_0, Q8_0, Q4_K or Q6_K. The head of a 4-bit model is Q6_K, as in published files.
  ElementType type = ElementType::kQ4_0;
  uint64_t seed = 1;  // the same options give the same bytes
};

// In bytes of the file; false cancels.
using SynthProgress = std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

// "tiny, llama-3.2-1b, …"
std::string synth_shapes();

// Size of the file that these options give. kInvalidArgument for an unknown shape, layer count or type.
Result<uint64_t> synthesized_bytes(const SynthOptions& options);

// Writes a GGUF file piece by piece, whatever its size. Errors also: kResourceExhausted when the disk is full,
// kCancelled. On an error nothing is left behind.
Status synthesize(const SynthOptions& options, const std::filesystem::path& path,
                  const SynthProgress& progress = {});

}  // namespace exo::model
