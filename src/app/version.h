#pragma once

namespace exo::app {
// Nodes of different versions do not join each other.
inline constexpr const char* kVersion = "0.1.0";
}  // namespace exo::app
