#pragma once
// What options of benchmarks have in common.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

#include "base/element_type.h"

namespace exo::bench {

// The numbers of "2048x4096"; numbers that are none are 0.
inline std::vector<int64_t> sizes_of(const std::string& text) {
  std::vector<int64_t> sizes;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, 'x');) {
    int64_t size = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), size);
    sizes.push_back(error == std::errc() && end == part.data() + part.size() ? size : 0);
  }
  return sizes;
}

// `count` positive numbers.
inline CLI::Validator shape_of(size_t count) {
  return {[count](std::string& text) {
            const auto sizes = sizes_of(text);
            const bool good = sizes.size() == count && std::ranges::all_of(sizes, [](int64_t n) { return n > 0; });
            return good ? std::string() : "not " + std::to_string(count) + " sizes: " + text;
          },
          "SHAPE"};
}

inline CLI::Validator element_type_name() {
  return {[](std::string& text) {
            return find_element_type(text) != nullptr ? std::string() : "no such element type: " + text;
          },
          "TYPE"};
}

}  // namespace exo::bench
