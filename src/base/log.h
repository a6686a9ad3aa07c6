#pragma once
// Logging as a seam: code below app/ calls log_info("cluster", "…"); app/ installs where lines go.

#include <functional>
#include <string>
#include <string_view>

#include "base/format.h"

namespace exo {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

using LogSink = std::function<void(LogLevel, std::string_view component, std::string_view message)>;

// Installs the sink; to be called once, before threads start. Without one, warnings and errors go to stderr.
void set_log_sink(LogSink sink, LogLevel least);
bool log_enabled(LogLevel level);
void log_line(LogLevel level, std::string_view component, std::string_view message);  // any thread

#define EXO_DEFINE_LOG(name, level)                                                                     \
  template <typename... Args>                                                                           \
  void name(std::string_view component, fmt::format_string<Args...> text, Args&&... args) {             \
    if (log_enabled(level)) log_line(level, component, fmt::format(text, std::forward<Args>(args)...)); \
  }
EXO_DEFINE_LOG(log_debug, LogLevel::kDebug)
EXO_DEFINE_LOG(log_info, LogLevel::kInfo)
EXO_DEFINE_LOG(log_warning, LogLevel::kWarning)
EXO_DEFINE_LOG(log_error, LogLevel::kError)
#undef EXO_DEFINE_LOG

}  // namespace exo
