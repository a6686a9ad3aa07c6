#pragma once
// The JSON header of a safetensors file, read as a stream: what it allocates is in proportion to what it names.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace exo::formats {

struct HeaderEntry {
  std::string name, dtype;
  std::vector<int64_t> shape;   // none negative
  uint64_t begin = 0, end = 0;  // in the data, unchecked
};

struct SafetensorsHeader {
  std::vector<HeaderEntry> entries;  // in the file's order
  std::map<std::string, std::string, std::less<>> metadata;
};

// kCorrupt when it is no JSON of this form. Names that occur twice are listed twice.
Result<SafetensorsHeader> parse_safetensors_header(std::string_view json);

}  // namespace exo::formats
