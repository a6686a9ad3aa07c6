#pragma once
// The engine behind a stage, as ring/ sees it: work in, activations or tokens out, later. The real one is a thread
// around model::Stage (ring/engine_thread.h); simulations use a function of the tokens.

#include <functional>
#include <memory>
#include <vector>

#include "base/result.h"
#include "net/clock.h"
#include "wire/messages.h"

namespace exo::ring {

// What a stage computed: activations for the next stage, or tokens at the last.
struct StageOutput {
  std::vector<float> activations;    // [n_rows, d_model]
  std::vector<SampledToken> tokens;  // of the sequences that wanted logits, in order
  std::vector<int32_t> counts;       // how many tokens each of them got: 1 and one for each right guess
  double compute_s = 0;
  net::SteadyPoint began{}, ended{};  // of the computing; zero: not known
};

class StageExecutor {
 public:
  virtual ~StageExecutor() = default;
  // Called on the network thread; `done` is called there too, once, in the order of the calls. After the executor
  // is destroyed no `done` is called. Work is computed strictly in order.
  virtual void execute(wire::Step step, std::function<void(Result<StageOutput>)> done) = 0;
  // Steps up to this one may be lost to other devices that compute this stage too: those that wait for them fail.
  virtual void interrupt(MicroBatchId newest) { (void)newest; }
  // The model folds a sequence into a state of fixed size, on this stage or another: a slot's sequence begins at
  // position 0 and continues only where its last step ended. No prefix is shared, nothing guessed.
  virtual bool keeps_state() const { return false; }
};

}  // namespace exo::ring
