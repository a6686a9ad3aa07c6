// Whole models from strangers: a file that parses must load or be refused, and a model that loads must run.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "formats/gguf.h"
#include "model/load.h"
#include "ops/cpu/cpu_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto parsed = exo::formats::GgufFile::parse(std::as_bytes(std::span(data, size)));
  if (!parsed) return 0;
  const auto file = std::make_shared<const exo::formats::GgufFile>(std::move(*parsed));
  const auto info = exo::model::read_model_info(*file);
  if (!info) return 0;
  static const auto ops = exo::ops::make_cpu_ops({.threads = 1});
  const exo::model::StageConfig config{.layers = {exo::LayerIndex(0), exo::LayerIndex(info->n_layers)},
                                       .max_batch_rows = 4,
                                       .block_positions = 4,
                                       .n_blocks = 2};
  const auto stage = exo::model::load_stage(file, config, *ops);
  if (!stage) return 0;
  const exo::BlockId table[] = {exo::BlockId(1)};
  const exo::TokenId tokens[] = {exo::TokenId(0), exo::TokenId(info->n_vocab - 1)};
  const exo::model::StepSequence sequence{
      .first = exo::Position(0), .n_tokens = 2, .block_table = table, .wants_logits = true};
  (void)(*stage)->forward({.sequences = {&sequence, 1}, .tokens = tokens});
  return 0;
}
