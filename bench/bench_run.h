#pragma once
// What programs that time kernels have in common: their main(), time, and numbers to compute with.

#include <CLI/CLI.hpp>
#include <chrono>
#include <string>

#include "ops/cpu/testing/random_tensors.h"

namespace exo::bench {

inline double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

using ops::testing::random_floats;

// The options become settings, and run() of them the exit status.
template <typename Settings>
int parse_and_run(int argc, char** argv, const std::string& about, void (*add_options)(CLI::App&, Settings&),
                  int (*run)(const Settings&)) {
  CLI::App app(about);
  Settings settings;
  add_options(app, settings);
  CLI11_PARSE(app, argc, argv);
  return run(settings);
}

}  // namespace exo::bench
