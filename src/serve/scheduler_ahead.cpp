// Scheduler's steps ahead of answers. One stream keeps one stage of a ring busy at a time, and none while messages
// travel. As long as nothing else is there to compute, the others' time is used: on the guess that all of a step is
// right, the next one follows at once with what is guessed to come then. The last stage sees whether it was
// (wire::StepSequence::draft). If so, its answer comes that much earlier; if not, all that was sent ahead is void,
// and the step that is due goes out when it would have gone out anyway.
//
// It is hardly held up by the others, since no more are on their way than the slowest stage computes in the time of
// a trip: when an answer comes, the first stage has just computed what was sent ahead of it.

#include <algorithm>

#include "serve/scheduler.h"

namespace exo::serve {

void Scheduler::launch_ahead() {
  if (!takes_guesses() || config_.stage_nodes.size() == 1 || running_.size() != 1) return;
  const SequencePtr only = running_.begin()->second;
  while (!only->suspect && only->decoding() && only->pending() == 0 && send_ahead(only)) continue;
}

bool Scheduler::send_ahead(const SequencePtr& sequence) {
  const auto assumed = static_cast<int32_t>(sequence->assumed.size());
  const int32_t most =
      std::min({config_.max_draft_tokens, config_.max_batch_rows, sequence->remaining - 1 - assumed});
  if (most <= 0) return false;
  Guesses guesses = sequence->guesser.choose_ahead(sequence->tokens, sequence->assumed, step_cost_.cost(), most);
  const auto count = static_cast<int32_t>(guesses.tokens.size());
  if (count == 0 || in_flight_.size() >= static_cast<size_t>(depth_.for_trip(count))) return false;
  const int32_t room = reserve_positions(*sequence, assumed + count) - assumed;
  if (room <= 0) return false;
  guesses.tokens.resize(static_cast<size_t>(room));
  wire::Step step;
  InFlight flight;
  Choice choice{sequence, 0, std::move(guesses)};
  add_part(step, flight, choice);
  send(std::move(step), std::move(flight));
  return true;
}

// What an answer says of what was assumed behind it. True: the step that was sent ahead goes on from its last
// token, and is due now.
bool Scheduler::goes_on(Sequence& sequence, const Part& part, std::span<const SampledToken> tokens) {
  const auto own = static_cast<size_t>(part.drafted - (part.ahead ? 1 : 0));
  auto& assumed = sequence.assumed;
  if (tokens.size() != own + 1 || assumed.size() <= own || assumed[own] != tokens.back().token) {
    assumed.clear();
    ++sequence.line;
    return false;
  }
  assumed.erase(assumed.begin(), assumed.begin() + static_cast<ptrdiff_t>(own) + 1);
  const auto is_next = [&](const Part& other) { return other.sequence.get() == &sequence && !is_over(other); };
  for (InFlight& flight : in_flight_) {
    const auto next = std::ranges::find_if(flight.parts, is_next);
    if (next == flight.parts.end()) continue;
    next->due = true;
    break;
  }
  return true;
}

}  // namespace exo::serve
