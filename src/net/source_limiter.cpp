#include "net/source_limiter.h"

#include <algorithm>

namespace exo::net {
namespace {

constexpr Duration kSweepInterval = std::chrono::milliseconds(100);

}  // namespace

bool SourceLimiter::allow(const std::string& source, TimePoint now) {
  auto found = sources_.find(source);
  if (found == sources_.end()) {
    if (sources_.size() >= max_sources_ && !make_room(now)) return false;
    found = sources_.emplace(source, Source{per_second_, now}).first;
  }
  Source& known = found->second;
  const double elapsed_s = std::chrono::duration<double>(now - known.seen).count();
  known.allowance = std::min(per_second_, known.allowance + elapsed_s * per_second_);
  known.seen = now;
  if (known.allowance < 1) return false;
  known.allowance -= 1;
  return true;
}

// A second of silence restores the whole allowance, so nothing is lost by forgetting.
bool SourceLimiter::make_room(TimePoint now) {
  if (now - swept_at_ < kSweepInterval) return false;
  swept_at_ = now;
  return std::erase_if(sources_,
                       [&](const auto& entry) { return now - entry.second.seen >= std::chrono::seconds(1); }) > 0;
}

}  // namespace exo::net
