#pragma once
// What a stage remembers of its slots between steps: block tables and, at the last stage, samplers. Applies the
// changes that a step brings and refuses what does not fit. Engine thread only.

#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "sample/sampler.h"
#include "wire/messages.h"

namespace exo::ring {

struct StageLimits {
  int32_t max_slots = 0;
  int32_t n_blocks = 0;
  int32_t block_positions = 1;
  int32_t max_batch_rows = 0;
  int32_t d_model = 0;
  int32_t n_vocab = 0;
  bool first_stage = false, last_stage = false;
};

class SlotTables {
 public:
  explicit SlotTables(const StageLimits& limits);

  // Closes slots, then brings every sequence's block table up to date. Afterwards each table covers its sequence's
  // positions, those before the step's have been computed here, and at the last stage each slot that wants logits
  // has its sampler.
  Status apply(wire::Step& step);

  // Blocks whose content came from elsewhere and is complete; false: one is not of this cache.
  bool note_full(std::span<const BlockId> blocks);
  // All positions of the block have been computed here, or came from elsewhere.
  bool is_full(BlockId block) const {
    return block.value < written_.size() && written_[block.value] == limits_.block_positions;
  }

  std::span<const BlockId> block_table(SlotId slot) const { return slots_[index(slot)].blocks; }
  sample::Sampler& sampler(SlotId slot) { return *slots_[index(slot)].sampler; }

  // At the last stage: what was sampled last in the slot, for which position.
  void note_sampled(SlotId slot, Position position, TokenId token) {
    slots_[index(slot)].sampled = {position, token};
  }
  // A part that was sent ahead begins with just that.
  bool is_void(const wire::StepSequence& sequence) const;

 private:
  struct Slot {
    std::vector<BlockId> blocks;
    std::optional<sample::Sampler> sampler;
    struct Sampled {
      Position position{-1};
      TokenId token;
      bool operator==(const Sampled&) const = default;
    } sampled;                 // last, since the sampler was made
    uint64_t newest_step = 0;  // a slot appears once in a step
  };

  static size_t index(SlotId slot) { return static_cast<size_t>(slot.value); }
  bool in_range(SlotId slot) const { return slot.value >= 0 && slot.value < limits_.max_slots; }
  void close(SlotId slot);
  Status check_payload(const wire::Step& step) const;
  Status apply_sequence(wire::StepSequence& sequence);
  Status check_history(const wire::StepSequence& sequence, const Slot& slot) const;
  void note_written(const wire::StepSequence& sequence, const Slot& slot);

  const StageLimits limits_;
  std::vector<Slot> slots_;  // [max_slots]
  // Positions computed in each block since this stage was loaded: [n_blocks]. The scheduler may count on blocks
  // that a stage has lost with a restart; that must not go unnoticed.
  std::vector<int32_t> written_;
  uint64_t step_ = 0;
};

}  // namespace exo::ring
