#pragma once
// What an engine needs of the group that its stage is a share of: the exchange of a step's numbers (see
// model/tensor_group.h), step by step. The real one is ring/group_links.h.

#include "base/ids.h"
#include "model/tensor_group.h"

namespace exo::ring {

class StageGroup : public model::GroupExchange {
 public:
  // Engine thread. The exchanges of one step follow; kUnavailable when another member cannot be reached.
  virtual Status begin_step(MicroBatchId step) = 0;
  // The begun step failed here: the other members must not wait for it. Engine thread.
  virtual void abandon_step() = 0;
  // Fails the steps up to this one, also those that have not begun: a member may have lost them. Any thread.
  virtual void interrupt(MicroBatchId newest) = 0;
  // Fails all steps. Any thread.
  virtual void cancel() = 0;
};

}  // namespace exo::ring
