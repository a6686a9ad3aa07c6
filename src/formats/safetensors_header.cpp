#include "formats/safetensors_header.h"

#include <boost/json/basic_parser_impl.hpp>
#include <optional>
#include <utility>

namespace exo::formats {
namespace {

namespace json = boost::json;

// {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …, "__metadata__": {"key": "text"}}
class HeaderReader {
 public:
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = 64;  // dimensions
  static constexpr size_t max_key_size = 1 << 16;
  static constexpr size_t max_string_size = 100'000'000;  // metadata; a header is not larger

  SafetensorsHeader header;
  std::string problem;

  bool on_document_begin(json::error_code&) { return true; }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code& error) {
    if (place_ == Place::kOutside) return go(Place::kNames);
    if (place_ != Place::kNames) return wrong("an object where none belongs", error);
    if (key_ == "__metadata__") return go(Place::kMetadata);
    header.entries.push_back({.name = key_});
    seen_ = {};
    return go(Place::kEntry);
  }
  bool on_object_end(size_t, json::error_code& error) {
    if (place_ == Place::kEntry && !(seen_.dtype && seen_.shape && seen_.offsets)) {
      return wrong("a tensor lacks dtype, shape or data_offsets", error);
    }
    return go(place_ == Place::kNames ? Place::kOutside : Place::kNames);
  }
  bool on_array_begin(json::error_code& error) {
    if (place_ == Place::kEntry && key_ == "shape" && !std::exchange(seen_.shape, true)) return go(Place::kShape);
    if (place_ == Place::kEntry && key_ == "data_offsets" && !std::exchange(seen_.offsets, true)) {
      n_offsets_ = 0;
      return go(Place::kOffsets);
    }
    return wrong("a list where none belongs", error);
  }
  bool on_array_end(size_t, json::error_code& error) {
    if (place_ == Place::kOffsets && n_offsets_ != 2) return wrong("data_offsets are not two", error);
    return go(Place::kEntry);
  }
  bool on_key_part(json::string_view part, size_t, json::error_code&) { return add(part); }
  bool on_key(json::string_view part, size_t, json::error_code&) {
    add(part);
    key_ = std::exchange(text_, {});
    return true;
  }
  bool on_string_part(json::string_view part, size_t, json::error_code&) { return add(part); }
  bool on_string(json::string_view part, size_t, json::error_code& error) {
    add(part);
    std::string text = std::exchange(text_, {});
    if (place_ == Place::kMetadata) {
      header.metadata.insert_or_assign(key_, std::move(text));
    } else if (place_ == Place::kEntry && key_ == "dtype" && !std::exchange(seen_.dtype, true)) {
      header.entries.back().dtype = std::move(text);
    } else {
      return wrong("a text where none belongs", error);
    }
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t value, json::string_view, json::error_code& error) {
    if (value < 0) return wrong("a number below 0", error);
    return on_uint64(static_cast<uint64_t>(value), {}, error);
  }
  bool on_uint64(uint64_t value, json::string_view, json::error_code& error) {
    if (place_ == Place::kShape) {
      if (value > INT64_MAX) return wrong("an extent that overflows", error);
      header.entries.back().shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::kOffsets && n_offsets_ < 2) {
      (n_offsets_++ == 0 ? header.entries.back().begin : header.entries.back().end) = value;
    } else {
      return wrong("a number where none belongs", error);
    }
    return true;
  }
  bool on_double(double, json::string_view, json::error_code& error) { return wrong("a fraction", error); }
  bool on_bool(bool, json::error_code& error) { return wrong("true or false where none belongs", error); }
  bool on_null(json::error_code& error) { return wrong("null where none belongs", error); }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }

 private:
  enum class Place { kOutside, kNames, kMetadata, kEntry, kShape, kOffsets };

  bool go(Place place) {
    place_ = place;
    return true;
  }
  bool add(json::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool wrong(const char* what, json::error_code& error) {
    problem = what;
    error = json::error::syntax;
    return false;
  }

  struct Seen {
    bool dtype = false, shape = false, offsets = false;
  };
  Place place_ = Place::kOutside;
  Seen seen_;
  int n_offsets_ = 0;
  std::string key_, text_;
};

}  // namespace

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text) {
  json::basic_parser<HeaderReader> parser({});
  json::error_code error;
  const size_t read = parser.write_some(false, text.data(), text.size(), error);
  const std::string_view rest = text.substr(std::min(read, text.size()));
  auto& reader = parser.handler();
  if (error || !parser.done() || rest.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    return fail(ErrorCode::kCorrupt, "the header is no JSON object of tensors: {}",
                !reader.problem.empty() ? reader.problem
                : error                 ? error.message()
                                        : "it goes on after its end");
  }
  return std::move(reader.header);
}

}  // namespace exo::formats
