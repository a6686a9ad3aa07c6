#pragma once
// Python string operations that filters and methods share.

#include <string>
#include <string_view>
#include <vector>

#include "chat/jinja/runtime.h"

namespace exo::chat::jinja {

// str.strip(): `chars` empty and `white_space` true cut white space.
struct StripSides {
  bool left = true, right = true;
};
std::string_view strip_space(std::string_view text, StripSides sides = {});
std::string_view strip_chars(std::string_view text, std::string_view chars, StripSides sides = {});

// str.splitlines(); `keep_ends` leaves the line ends on.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends = false);
// str.split() on white space, at most `max_splits` cuts (negative: no limit).
std::vector<std::string_view> split_space(std::string_view text, int64_t max_splits);
std::vector<std::string_view> split_space_from_right(std::string_view text, int64_t max_splits);
// str.split(separator); `separator` is not empty.
std::vector<std::string_view> split_at(std::string_view text, std::string_view separator, int64_t max_splits);
std::vector<std::string_view> split_at_from_right(std::string_view text, std::string_view separator,
                                                  int64_t max_splits);

// str.replace(); `count` negative: all. Within the runtime's limits.
std::string replace_all(Runtime& runtime, std::string_view text, std::string_view old, std::string_view replacement,
                        int64_t count);
// `count` times the code point sequence `fill`; empty and exhausted when too long.
std::string repeat_text(Runtime& runtime, std::string_view fill, int64_t count);
// str.center().
std::string center_text(Runtime& runtime, std::string_view text, int64_t width, std::string_view fill);

}  // namespace exo::chat::jinja
