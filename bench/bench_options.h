#pragma once
// What options of benchmarks have in common.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "base/element_type.h"

namespace exo::bench {

// The numbers of "2048x4096"; numbers that are none are 0.
inline std::vector<int64_t> sizes_of(const std::string& text) {
  std::vector<int64_t> sizes;
  for (const auto& part : CLI::detail::split(text, 'x')) {
    int64_t size = 0;
    if (!CLI::detail::lexical_cast(part, size)) size = 0;
    sizes.push_back(size);
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
