#pragma once
// One architecture's keys of a GGUF file, read with ranges.

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/gguf.h"

namespace exo::model {

inline constexpr int64_t kMaxLayers = 4096;
inline constexpr int64_t kMaxWidth = 1 << 24;
inline constexpr int64_t kMaxHeads = 1 << 16;
inline constexpr int64_t kMaxExperts = 1 << 16;

// Reads `architecture.key`. kNotFound, or kCorrupt for a value out of range, names the key.
class MetadataReader {
 public:
  MetadataReader(const formats::GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), prefix_(architecture) {}

  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  bool has(std::string_view key) const { return metadata_.find(full(key)) != nullptr; }

  Result<int32_t> integer(std::string_view key, int64_t least, int64_t most) const {
    EXO_TRY(const int64_t value, metadata_.integer(full(key)));
    return in_range(key, value, least, most);
  }
  Result<int32_t> integer_or(std::string_view key, int64_t absent, int64_t least, int64_t most) const {
    return has(key) ? integer(key, least, most) : Result<int32_t>(static_cast<int32_t>(absent));
  }
  Result<float> number(std::string_view key) const {
    EXO_TRY(const double value, metadata_.number(full(key)));
    if (!std::isfinite(value) || std::abs(value) > std::numeric_limits<float>::max()) {
      return fail(ErrorCode::kCorrupt, "metadata key '{}' is {}", full(key), value);
    }
    return static_cast<float>(value);
  }
  Result<float> number_or(std::string_view key, double absent) const {
    return has(key) ? number(key) : Result<float>(static_cast<float>(absent));
  }
  Result<float> positive_or(std::string_view key, double absent) const {
    EXO_TRY(const float value, number_or(key, absent));
    if (!(value > 0.0f)) return fail(ErrorCode::kCorrupt, "metadata key '{}' is {}, not above 0", full(key), value);
    return value;
  }
  Result<std::string> text_or(std::string_view key, std::string_view absent) const {
    return has(key) ? metadata_.string(full(key)) : Result<std::string>(std::string(absent));
  }
  Result<bool> boolean_or(std::string_view key, bool absent) const {
    return has(key) ? metadata_.boolean(full(key)) : Result<bool>(absent);
  }
  // One value for all blocks, or a list with one for each.
  Result<std::vector<int32_t>> per_layer(std::string_view key, int32_t n_layers, int64_t least,
                                         int64_t most) const {
    const auto n = static_cast<size_t>(n_layers);
    if (metadata_.integer(full(key)).has_value()) {
      EXO_TRY(const int32_t value, integer(key, least, most));
      return std::vector<int32_t>(n, value);
    }
    EXO_TRY(const auto list, metadata_.integers(full(key)));
    if (list.size() < n) {
      return fail(ErrorCode::kCorrupt, "metadata key '{}' lists {} blocks of {}", full(key), list.size(), n);
    }
    std::vector<int32_t> out(n);
    for (size_t i = 0; i < n; ++i) {
      EXO_TRY(out[i], in_range(key, list[i], least, most));
    }
    return out;
  }

 private:
  Result<int32_t> in_range(std::string_view key, int64_t value, int64_t least, int64_t most) const {
    if (value < least || value > most) {
      return fail(ErrorCode::kCorrupt, "metadata key '{}' is {}, outside {}…{}", full(key), value, least, most);
    }
    return static_cast<int32_t>(value);
  }

  const formats::GgufMetadata& metadata_;
  std::string prefix_;
};

}  // namespace exo::model
