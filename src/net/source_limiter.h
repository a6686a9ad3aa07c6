#pragma once
// How much attention each source address gets per second, so that one that floods does not use up what all share.
// Remembers a bounded number of sources. No I/O.

#include <map>
#include <string>

#include "net/clock.h"

namespace exo::net {

class SourceLimiter {
 public:
  SourceLimiter(double per_second, size_t max_sources) : per_second_(per_second), max_sources_(max_sources) {}

  // Whether the source may have one more. When more sources come than are remembered, those that have been silent
  // for a second are forgotten; until then new ones are refused.
  bool allow(const std::string& source, TimePoint now);
  size_t sources() const { return sources_.size(); }

 private:
  struct Source {
    double allowance;
    TimePoint seen;
  };
  bool make_room(TimePoint now);

  const double per_second_;
  const size_t max_sources_;
  std::map<std::string, Source> sources_;
  TimePoint swept_at_{};
};

}  // namespace exo::net
