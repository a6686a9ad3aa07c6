#include "app/logging.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include "base/log.h"
#include "base/printable.h"
#include "net/byte_fields.h"

namespace exo::app {

Status install_logging(const std::string& level, const std::filesystem::path& file) {
  std::shared_ptr<spdlog::logger> logger;
  try {
    if (file.empty()) {
      logger = std::make_shared<spdlog::logger>("exo", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
    } else {
      logger = std::make_shared<spdlog::logger>("exo",
                                                std::make_shared<spdlog::sinks::basic_file_sink_mt>(file.string()));
    }
  } catch (const spdlog::spdlog_ex& error) {
    return fail(ErrorCode::kInvalidArgument, "cannot write the log: {}", error.what());
  }
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e %^%-7l%$ %v");
  logger->set_level(spdlog::level::debug);
  logger->flush_on(spdlog::level::warn);
  const LogLevel least = level == "debug"   ? LogLevel::kDebug
                         : level == "info"  ? LogLevel::kInfo
                         : level == "error" ? LogLevel::kError
                                            : LogLevel::kWarning;
  set_log_sink(
      [logger](LogLevel line_level, std::string_view component, std::string_view message) {
        constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                         spdlog::level::warn, spdlog::level::err};
        logger->log(kLevels[static_cast<int>(line_level)], "{}: {}", component, printable(message));
      },
      least);
  return {};
}

}  // namespace exo::app
