#include "chat/stop_strings.h"

#include <algorithm>
#include <utility>

namespace exo::chat {

size_t held_suffix(std::string_view text, std::string_view mark) {
  if (mark.empty()) return 0;
  for (size_t length = std::min(text.size(), mark.size() - 1); length > 0; --length) {
    if (mark.starts_with(text.substr(text.size() - length))) return length;
  }
  return 0;
}

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

StopMatcher::Step StopMatcher::push(std::string_view text) {
  Step step;
  if (stopped_) return step;
  held_ += text;
  size_t first = std::string::npos, first_end = 0, held = 0;
  for (size_t i = 0; i < stops_.size(); ++i) {
    if (stops_[i].empty()) continue;
    size_t found = held_.find(stops_[i]);
    size_t end = found + stops_[i].size();
    if (found != std::string::npos &&
        (first == std::string::npos || found < first || (found == first && end < first_end))) {
      first = found;
      first_end = end;
      step.stop_index = static_cast<int32_t>(i);
    }
    held = std::max(held, held_suffix(held_, stops_[i]));
  }
  // A longer stop string that began earlier and may yet complete does not wait: the complete one is in the text
  // now.
  step.stopped = stopped_ = first != std::string::npos;
  step.text = held_.substr(0, stopped_ ? first : held_.size() - held);
  held_.erase(0, stopped_ ? held_.size() : held_.size() - held);
  return step;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace exo::chat
