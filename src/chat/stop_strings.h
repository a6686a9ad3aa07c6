#pragma once
// Stop strings in a stream of text: nothing of a stop string is ever handed on.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace exo::chat {

// Belongs to one stream and one thread.
class StopMatcher {
 public:
  // Empty stop strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  struct Step {
    std::string text;         // to hand on
    bool stopped = false;     // a stop string is complete: all later text is dropped
    int32_t stop_index = -1;  // which of the constructor's strings, when stopped
  };

  // Adds what the model wrote. Text that may be the beginning of a stop string is held back for later steps. The
  // stop string that begins first ends the stream; of several that begin there, the first that is complete.
  Step push(std::string_view text);
  // The stream ended: what was held back.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

// Length of the longest end of `text` that is a beginning of `mark` and shorter than it.
size_t held_suffix(std::string_view text, std::string_view mark);

}  // namespace exo::chat
