#pragma once
// Runs a model over given tokens in this process, cut in any number of stages: what `exo debug logits` prints and
// what checks against reference logits use.

#include <memory>
#include <span>
#include <vector>

#include "formats/gguf.h"
#include "ops/ops.h"

namespace exo::model {

struct ReferenceRunOptions {
  int32_t n_greedy = 0;      // tokens to continue with, each the highest logit
  int32_t n_stages = 1;      // blocks are divided evenly; at most one stage per block
  int32_t chunk_tokens = 0;  // the prompt goes in pieces of so many tokens; 0: as large as possible
  ElementType kv_type = ElementType::kF32;
};

struct ReferenceRun {
  std::vector<float> logits;  // [tokens, n_vocab], of every position of the prompt
  std::vector<TokenId> greedy;
  std::vector<float> greedy_margins;  // highest minus second highest logit at each greedy step
};

// kInvalidArgument for an empty prompt, tokens outside the vocabulary or more stages than blocks; else as
// load_stage.
Result<ReferenceRun> run_logits(std::shared_ptr<const formats::GgufFile> file, std::span<const TokenId> tokens,
                                const ReferenceRunOptions& options, ops::Ops& ops);

}  // namespace exo::model
