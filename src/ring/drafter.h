#pragma once
// Guesses what follows a sequence with a model of its own, a small one: beside prompt look-up the second source of
// speculative decoding. As serve/ sees it: orders in, guesses out, later. The real one is a thread around a whole
// model (ring/draft_engine.h); simulations use a function of the tokens. Guesses are only ever guesses: nothing
// that a drafter says, late, wrong or never, changes an answer.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/sampler_settings.h"

namespace exo::ring {

struct DraftOrder {
  uint64_t sequence = 0;  // the caller's number for it
  uint64_t version = 0;   // comes back with the guesses
  // The sequence so far, from position 0, with what the caller takes for right already. It may differ from the
  // order before at any place: what the drafter has computed beyond is overwritten.
  std::vector<TokenId> tokens;
  int32_t count = 0;  // of guesses that shall follow; 0: the tokens are only read, so that later guesses come soon
  int32_t prompt_tokens = 0;
  SamplerSettings sampler;  // guesses are drawn as the last stage will draw: same settings, seed and positions
};

enum class DraftState : uint8_t {
  kGoesOn,  // more will come
  kDone,    // all are there, or all is read
  kCannot   // too long a text, no room, or a token that the draft model does not have
};

// Where guesses come out.
class DraftSink {
 public:
  virtual ~DraftSink() = default;
  // The next ones of this version, as soon as they are made.
  virtual void on_guesses(uint64_t sequence, uint64_t version, std::span<const TokenId> guesses,
                          DraftState state) = 0;
};

class Drafter {
 public:
  virtual ~Drafter() = default;  // its sink is not called any more
  // Takes the place of the sequence's order before. Never calls the sink before it returns.
  virtual void propose(DraftOrder order) = 0;
  virtual void forget(uint64_t sequence) = 0;
  // What one guess takes when nothing has to be read before it, as measured lately; 0: not known.
  virtual double guess_s() const = 0;
};

// Makes a drafter for a scheduler of that model; null: there is none (yet). All on the network thread.
using DrafterSource = std::function<std::unique_ptr<Drafter>(const std::string& fingerprint, DraftSink& sink)>;

}  // namespace exo::ring
