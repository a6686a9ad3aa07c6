#include "base/log.h"

#include <cstdio>

namespace exo {
namespace {
LogSink& sink() {
  static LogSink instance;
  return instance;
}
LogLevel least_level = LogLevel::kWarning;
}  // namespace

void set_log_sink(LogSink new_sink, LogLevel least) {
  sink() = std::move(new_sink);
  least_level = least;
}

bool log_enabled(LogLevel level) { return level >= least_level; }

void log_line(LogLevel level, std::string_view component, std::string_view message) {
  if (sink()) {
    sink()(level, component, message);
  } else {
    std::fprintf(stderr, "[%.*s] %.*s\n", int(component.size()), component.data(), int(message.size()),
                 message.data());
  }
}

}  // namespace exo
