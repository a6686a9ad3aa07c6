#pragma once
// The peers that were found but not admitted, for people to see: recent, without repetitions, bounded.

#include <deque>
#include <optional>
#include <vector>

#include "net/clock.h"
#include "net/transport.h"

namespace exo::net {

class RefusalLog {
 public:
  // True when it is news (and worth a line in the log), false for a repetition.
  bool add(Refusal refusal, std::optional<NodeId> peer, TimePoint now);
  void admitted(const NodeId& peer);                 // what was noted about it is settled
  std::vector<Refusal> recent(TimePoint now) const;  // newest first

 private:
  struct Entry {
    Refusal refusal;
    std::optional<NodeId> peer;
    TimePoint at;
  };
  std::deque<Entry> entries_;  // newest first
};

}  // namespace exo::net
