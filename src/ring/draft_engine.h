#pragma once
// The real Drafter: one thread that owns a whole small model and its KV cache, for any number of schedulers of this
// node. A pass computes the next token of every sequence that wants guesses together; what has to be read first,
// prompts and what was answered meanwhile, goes in chunks of a few milliseconds. It begins no pass while the gate
// says that the device is busy, so that stages wait for nothing but the end of a pass begun before.
//
// What a sequence has computed is kept as far as the next order begins alike: wrong guesses are overwritten, and a
// sequence that was preempted, resumed or asked for again after a while is read only from where it differs. Guesses
// that went beyond what an order says stay and come at once.

#include <memory>

#include "base/result.h"
#include "model/stage.h"
#include "net/clock.h"
#include "ring/drafter.h"
#include "ring/idle_gate.h"

namespace exo::ring {

class DraftEngine {
 public:
  // What its StageConfig needs: all layers, a cache of the node's context. kUnsupported, by name, for a model that
  // keeps a state for each sequence, since wrong guesses could not be taken back; kInvalidArgument for a part of a
  // model. Computes one token, so that weights are in memory and guess_s() is known.
  static Result<std::unique_ptr<DraftEngine>> start(net::Clock& clock, std::unique_ptr<model::Stage> stage,
                                                    IdleGate gate);
  // Waits for the pass being computed, so it is best run on another thread than the network's. Its drafters may
  // outlive it; they say nothing then.
  ~DraftEngine();
  DraftEngine(const DraftEngine&) = delete;
  DraftEngine& operator=(const DraftEngine&) = delete;

  // Network thread, where the sink is called too. Guesses stay below `n_vocab`, the target's; a sequence with
  // tokens that the draft model does not have gets none.
  std::unique_ptr<Drafter> make_drafter(DraftSink& sink, int32_t n_vocab);

 private:
  struct Engine;
  explicit DraftEngine(std::unique_ptr<Engine> engine);
  std::unique_ptr<Engine> engine_;
};

}  // namespace exo::ring
