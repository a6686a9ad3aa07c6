#include "model/reference_run.h"

#include <algorithm>
#include <limits>

#include "model/load.h"

namespace exo::model {
namespace {

constexpr int32_t kBlockPositions = 32;
constexpr int32_t kMaxRows = 512;

class StageChain {
 public:
  static Result<StageChain> load(const std::shared_ptr<const formats::GgufFile>& file,
                                 const ReferenceRunOptions& options, int32_t n_positions, ops::Ops& ops) {
    EXO_TRY(const auto info, read_model_info(*file));
    if (options.n_stages < 1 || options.n_stages > info.n_layers) {
      return fail(ErrorCode::kInvalidArgument, "{} stages for {} blocks", options.n_stages, info.n_layers);
    }
    StageChain chain;
    const int32_t n_blocks = (n_positions + kBlockPositions - 1) / kBlockPositions;
    for (int32_t b = 0; b < n_blocks; ++b) chain.table_.emplace_back(static_cast<uint32_t>(b));
    for (int32_t s = 0; s < options.n_stages; ++s) {
      StageConfig config{.max_batch_rows = std::min(n_positions, kMaxRows),
                         .block_positions = kBlockPositions,
                         .n_blocks = n_blocks,
                         .kv_type = options.kv_type,
                         .max_slots = 1};
      config.layers.begin = LayerIndex(static_cast<int32_t>(int64_t{info.n_layers} * s / options.n_stages));
      config.layers.end = LayerIndex(static_cast<int32_t>(int64_t{info.n_layers} * (s + 1) / options.n_stages));
      EXO_TRY(auto stage, load_stage(file, config, ops));
      chain.stages_.push_back(std::move(stage));
    }
    return chain;
  }

  Result<std::span<const float>> run(std::span<const TokenId> tokens, int32_t first, bool all_logits) {
    const StepSequence sequence{.first = Position(first),
                                .n_tokens = static_cast<int32_t>(tokens.size()),
                                .block_table = table_,
                                .wants_logits = true};
    StepInput input{.sequences = {&sequence, 1}, .tokens = tokens};
    for (auto& stage : stages_) {
      const bool last = &stage == &stages_.back();
      EXO_TRY(const auto out, last&& all_logits ? stage->forward_all_logits(input) : stage->forward(input));
      if (last) return out;
      input.tokens = {};
      input.activations = out;
    }
    return std::span<const float>();
  }

 private:
  std::vector<std::unique_ptr<Stage>> stages_;
  std::vector<BlockId> table_;
};

struct Best {
  int32_t token = 0;
  float margin = 0.0f;
};

Best best_of(std::span<const float> logits) {
  Best best;
  float second = -std::numeric_limits<float>::infinity();
  for (size_t i = 1; i < logits.size(); ++i) {
    const float leader = logits[static_cast<size_t>(best.token)];
    if (logits[i] > leader) {
      second = leader;
      best.token = static_cast<int32_t>(i);
    } else {
      second = std::max(second, logits[i]);
    }
  }
  best.margin = logits[static_cast<size_t>(best.token)] - second;
  return best;
}

}  // namespace

Result<ReferenceRun> run_logits(std::shared_ptr<const formats::GgufFile> file, std::span<const TokenId> tokens,
                                const ReferenceRunOptions& options, ops::Ops& ops) {
  if (tokens.empty()) return fail(ErrorCode::kInvalidArgument, "an empty prompt");
  if (options.n_greedy < 0 || tokens.size() + static_cast<size_t>(options.n_greedy) > INT32_MAX / 2) {
    return fail(ErrorCode::kInvalidArgument, "{} greedy tokens after {}", options.n_greedy, tokens.size());
  }
  const auto n_prompt = static_cast<int32_t>(tokens.size());
  EXO_TRY(auto chain, StageChain::load(file, options, n_prompt + options.n_greedy, ops));
  const int32_t chunk = options.chunk_tokens > 0 ? std::min(options.chunk_tokens, kMaxRows) : kMaxRows;
  ReferenceRun run;
  for (int32_t first = 0; first < n_prompt; first += chunk) {
    const auto piece =
        tokens.subspan(static_cast<size_t>(first), static_cast<size_t>(std::min(chunk, n_prompt - first)));
    EXO_TRY(const auto logits, chain.run(piece, first, true));
    run.logits.insert(run.logits.end(), logits.begin(), logits.end());
  }
  const size_t n_vocab = run.logits.size() / tokens.size();
  Best best = best_of(std::span(run.logits).last(n_vocab));
  for (int32_t i = 0; i < options.n_greedy; ++i) {
    const TokenId token(best.token);
    run.greedy.push_back(token);
    run.greedy_margins.push_back(best.margin);
    if (i + 1 == options.n_greedy) break;
    EXO_TRY(const auto logits, chain.run({&token, 1}, n_prompt + i, false));
    best = best_of(logits);
  }
  return run;
}

}  // namespace exo::model
