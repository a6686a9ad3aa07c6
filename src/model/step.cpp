#include "model/step.h"

#include <algorithm>

namespace exo::model {
namespace {

Status check_tokens(const StepInput& input, size_t n_rows, const StepLimits& limits) {
  if (input.tokens.size() != n_rows || !input.activations.empty()) {
    return fail(ErrorCode::kInvalidArgument, "{} tokens and {} activations for {} rows of the first stage",
                input.tokens.size(), input.activations.size(), n_rows);
  }
  for (const TokenId token : input.tokens) {
    if (token.value < 0 || token.value >= limits.n_vocab) {
      return fail(ErrorCode::kInvalidArgument, "token {} is outside the vocabulary of {}", token, limits.n_vocab);
    }
  }
  return {};
}

Status check_activations(const StepInput& input, size_t n_rows, const StepLimits& limits) {
  const size_t expected = n_rows * static_cast<size_t>(limits.d_model);
  if (input.activations.size() != expected || !input.tokens.empty()) {
    return fail(ErrorCode::kInvalidArgument, "{} activations and {} tokens for {} rows of width {}",
                input.activations.size(), input.tokens.size(), n_rows, limits.d_model);
  }
  return {};
}

}  // namespace

Status Step::add_sequence(const StepSequence& sequence, const StepLimits& limits) {
  const int64_t first = sequence.first.value, end = first + sequence.n_tokens;
  if (first < 0 || sequence.n_tokens < 1 || end > INT32_MAX) {
    return fail(ErrorCode::kInvalidArgument, "a sequence of {} tokens at position {}", sequence.n_tokens, first);
  }
  if (sequence.n_draft < 0 || sequence.n_draft >= sequence.n_tokens) {
    return fail(ErrorCode::kInvalidArgument, "{} guesses among {} tokens", sequence.n_draft, sequence.n_tokens);
  }
  if (n_rows() + int64_t{sequence.n_tokens} > limits.max_rows) {
    return fail(ErrorCode::kInvalidArgument, "a step of more than {} rows", limits.max_rows);
  }
  if (limits.max_positions > 0 && end > limits.max_positions) {
    return fail(ErrorCode::kInvalidArgument, "position {} is beyond the model's {}", end - 1, limits.max_positions);
  }
  const int64_t n_needed = (end + limits.block_positions - 1) / limits.block_positions;
  if (static_cast<int64_t>(sequence.block_table.size()) < n_needed) {
    return fail(ErrorCode::kInvalidArgument, "a block table of {} entries for {} positions of {} each",
                sequence.block_table.size(), end, limits.block_positions);
  }
  const auto table = sequence.block_table.first(static_cast<size_t>(n_needed));
  for (const BlockId block : table) {
    if (block.value >= static_cast<uint32_t>(limits.n_blocks)) {
      return fail(ErrorCode::kInvalidArgument, "cache block {} of {}", block, limits.n_blocks);
    }
  }
  sequences_.push_back({.first_row = n_rows(),
                        .n_rows = sequence.n_tokens,
                        .first_position = sequence.first,
                        .block_table = table,
                        .slot = sequence.slot});
  for (int64_t p = first; p < end; ++p) positions_.emplace_back(static_cast<int32_t>(p));
  if (sequence.wants_logits) {
    for (int32_t row = n_rows() - 1 - sequence.n_draft; row < n_rows(); ++row) logit_rows_.push_back(row);
  }
  return {};
}

Status Step::prepare(const StepInput& input, const StepLimits& limits) {
  sequences_.clear();
  positions_.clear();
  logit_rows_.clear();
  auto checked = [&]() -> Status {
    if (input.sequences.empty()) return fail(ErrorCode::kInvalidArgument, "a step without sequences");
    for (const auto& sequence : input.sequences) EXO_CHECK_OK(add_sequence(sequence, limits));
    return limits.takes_tokens ? check_tokens(input, positions_.size(), limits)
                               : check_activations(input, positions_.size(), limits);
  }();
  if (!checked) {
    sequences_.clear();
    positions_.clear();
    logit_rows_.clear();
  }
  return checked;
}

}  // namespace exo::model
