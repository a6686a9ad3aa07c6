#include "ring/slot_tables.h"

#include <algorithm>

namespace exo::ring {

SlotTables::SlotTables(const StageLimits& limits)
    : limits_(limits),
      slots_(static_cast<size_t>(std::max(limits.max_slots, 0))),
      written_(static_cast<size_t>(std::max(limits.n_blocks, 0)), 0) {}

void SlotTables::close(SlotId slot) {
  slots_[index(slot)].blocks.clear();
  slots_[index(slot)].sampler.reset();
}

Status SlotTables::apply(wire::Step& step) {
  ++step_;
  for (const SlotId slot : step.closed_slots) {
    if (!in_range(slot)) return fail(ErrorCode::kInvalidArgument, "slot {} of {}", slot, limits_.max_slots);
    close(slot);
  }
  EXO_CHECK_OK(check_payload(step));
  for (auto& sequence : step.sequences) EXO_CHECK_OK(apply_sequence(sequence));
  return {};
}

Status SlotTables::check_payload(const wire::Step& step) const {
  int64_t rows = 0;
  for (const auto& sequence : step.sequences) {
    if (sequence.n_tokens < 1)
      return fail(ErrorCode::kInvalidArgument, "a sequence of {} tokens", sequence.n_tokens);
    if (sequence.draft.size() > static_cast<size_t>(sequence.n_tokens) ||
        (sequence.is_ahead() && (!sequence.wants_logits || sequence.first.value < 1)))
      return fail(ErrorCode::kInvalidArgument, "{} guesses among {} tokens", sequence.draft.size(),
                  sequence.n_tokens);
    for (const TokenId token : sequence.draft)
      if (token.value < 0 || token.value >= limits_.n_vocab)
        return fail(ErrorCode::kInvalidArgument, "guess {} is outside the vocabulary of {}", token,
                    limits_.n_vocab);
    rows += sequence.n_tokens;
  }
  if (rows > limits_.max_batch_rows)
    return fail(ErrorCode::kInvalidArgument, "a step of {} rows; this stage takes {}", rows,
                limits_.max_batch_rows);
  const auto expected_tokens = limits_.first_stage ? static_cast<size_t>(rows) : 0;
  const auto expected_values =
      limits_.first_stage ? 0 : static_cast<size_t>(rows) * static_cast<size_t>(limits_.d_model);
  if (step.tokens.size() != expected_tokens || step.activations.size() != expected_values)
    return fail(ErrorCode::kInvalidArgument, "a step of {} rows with {} tokens and {} activations", rows,
                step.tokens.size(), step.activations.size());
  for (const TokenId token : step.tokens)
    if (token.value < 0 || token.value >= limits_.n_vocab)
      return fail(ErrorCode::kInvalidArgument, "token {} is outside the vocabulary of {}", token, limits_.n_vocab);
  return {};
}

Status SlotTables::apply_sequence(wire::StepSequence& sequence) {
  if (!in_range(sequence.slot))
    return fail(ErrorCode::kInvalidArgument, "slot {} of {}", sequence.slot, limits_.max_slots);
  Slot& slot = slots_[index(sequence.slot)];
  if (slot.newest_step == step_) return fail(ErrorCode::kInvalidArgument, "slot {} twice in a step", sequence.slot);
  slot.newest_step = step_;

  const auto first_block = static_cast<int64_t>(sequence.first_block);
  if (first_block < 0 || sequence.first.value < 0)
    return fail(ErrorCode::kInvalidArgument, "slot {}: negative position or block", sequence.slot);
  if (first_block > static_cast<int64_t>(slot.blocks.size()))
    return fail(ErrorCode::kUnavailable, "slot {} is not open: an earlier step was lost", sequence.slot);
  if (first_block + static_cast<int64_t>(sequence.blocks.size()) > limits_.n_blocks)
    return fail(ErrorCode::kInvalidArgument, "slot {}: a table of more than {} blocks", sequence.slot,
                limits_.n_blocks);
  for (const BlockId block : sequence.blocks)
    if (block.value >= static_cast<uint32_t>(limits_.n_blocks))
      return fail(ErrorCode::kInvalidArgument, "block {} of {}", block, limits_.n_blocks);
  if (!sequence.blocks.empty()) {
    slot.blocks.resize(static_cast<size_t>(first_block));
    slot.blocks.insert(slot.blocks.end(), sequence.blocks.begin(), sequence.blocks.end());
  }

  const int64_t end = int64_t{sequence.first.value} + sequence.n_tokens;
  if (end > static_cast<int64_t>(slot.blocks.size()) * limits_.block_positions)
    return fail(slot.blocks.empty() ? ErrorCode::kUnavailable : ErrorCode::kInvalidArgument,
                "slot {}: position {} is beyond its {} blocks", sequence.slot, end - 1, slot.blocks.size());
  EXO_CHECK_OK(check_history(sequence, slot));
  note_written(sequence, slot);
  if (!limits_.last_stage || !sequence.wants_logits) return {};

  if (sequence.opening) {
    auto& opening = *sequence.opening;
    const auto history = static_cast<int64_t>(opening.history.size());
    const int64_t known = end - static_cast<int64_t>(sequence.draft.size());
    if (opening.prompt_tokens < 0 || (history != 0 && (history != known || opening.prompt_tokens > history)))
      return fail(ErrorCode::kInvalidArgument, "slot {}: a history of {} tokens at position {}", sequence.slot,
                  history, known);
    const auto prompt = static_cast<size_t>(std::min<int64_t>(opening.prompt_tokens, history));
    slot.sampler.emplace(std::move(opening.sampler), std::move(opening.history), prompt);
    slot.sampled = {};
  }
  if (!slot.sampler)
    return fail(ErrorCode::kUnavailable, "slot {} has no sampler: an earlier step was lost", sequence.slot);
  return {};
}

bool SlotTables::is_void(const wire::StepSequence& sequence) const {
  return sequence.is_ahead() &&
         slots_[index(sequence.slot)].sampled != Slot::Sampled{sequence.first, sequence.draft.front()};
}

bool SlotTables::note_full(std::span<const BlockId> blocks) {
  for (const BlockId block : blocks)
    if (block.value >= written_.size()) return false;
  for (const BlockId block : blocks) written_[block.value] = limits_.block_positions;
  return true;
}

// What the table brings in new, and the position right before the step's.
Status SlotTables::check_history(const wire::StepSequence& sequence, const Slot& slot) const {
  const int64_t per_block = limits_.block_positions;
  const int64_t first = sequence.first.value;
  const int64_t n_history_blocks = (first + per_block - 1) / per_block;
  const int64_t last = n_history_blocks - 1;
  for (int64_t i = std::min<int64_t>(sequence.blocks.empty() ? last : sequence.first_block, last);
       i >= 0 && i <= last; ++i) {
    const int64_t needed = std::min(per_block, first - i * per_block);
    if (written_[slot.blocks[static_cast<size_t>(i)].value] < needed)
      return fail(ErrorCode::kUnavailable, "slot {}: positions before {} were lost here", sequence.slot, first);
  }
  return {};
}

void SlotTables::note_written(const wire::StepSequence& sequence, const Slot& slot) {
  const int64_t per_block = limits_.block_positions;
  const int64_t end = int64_t{sequence.first.value} + sequence.n_tokens;
  for (int64_t i = sequence.first.value / per_block; i * per_block < end; ++i)
    written_[slot.blocks[static_cast<size_t>(i)].value] =
        static_cast<int32_t>(std::min(per_block, end - i * per_block));
}

}  // namespace exo::ring
