#pragma once
// strftime in the C locale and UTC.

#include <chrono>
#include <string>
#include <string_view>

namespace exo::chat::jinja {

inline constexpr size_t kMaxStrftimeGrowth = 16;  // bytes that one byte of format can become, at most

// Directives of Python's datetime.strftime; unknown ones are kept as they are.
std::string format_time(std::string_view format, std::chrono::system_clock::time_point time);

}  // namespace exo::chat::jinja
