#pragma once
// Text from elsewhere (a peer's name, an error that it told) on its way to a terminal, a log or a metric.

#include <cstddef>
#include <string>
#include <string_view>

namespace exo {

// At most `max_bytes` of it, never half a character. Control characters (below U+0020, U+007F to U+009F: both kinds
// move cursors and rename windows) and what is not UTF-8 become '?'. No line breaks are left.
std::string printable(std::string_view text, size_t max_bytes = std::string_view::npos);

}  // namespace exo
