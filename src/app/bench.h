#pragma once
// `exo bench`: how fast this device runs one model, measured on the engine itself.

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"

namespace exo::app {

struct BenchOptions {
  std::vector<int32_t> prompt_tokens = {512};  // prefill tests
  std::vector<int32_t> decode_tokens = {64};   // decode tests
  std::vector<int32_t> sequences = {1};        // decoded together
  std::vector<int32_t> depths = {0};           // positions in the cache before the test
  std::vector<int32_t> threads = {0};          // 0: one per core
  int32_t repetitions = 5;
  std::string output = "table";  // or "json"
  std::string kv_type = "F16";
};

// Prints median, minimum and maximum tokens/s of every combination to standard output.
Status run_bench(const std::shared_ptr<const formats::GgufFile>& model, const BenchOptions& options);

}  // namespace exo::app
