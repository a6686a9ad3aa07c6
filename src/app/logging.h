#pragma once
// Where log lines go: standard error or a file, through spdlog.

#include <filesystem>
#include <string>

#include "base/result.h"

namespace exo::app {

// `file` empty: standard error. `level`: debug, info, warning or error. Control characters, which names given by
// other devices may have, become '?': a line is a line.
Status install_logging(const std::string& level, const std::filesystem::path& file);

}  // namespace exo::app
