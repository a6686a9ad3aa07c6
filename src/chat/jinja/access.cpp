#include "chat/jinja/access.h"

#include <algorithm>
#include <array>

#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

// What the immutable sandbox hides because it would change the object.
bool is_modifying(Type type, std::string_view name) {
  constexpr std::array<std::string_view, 8> kList = {"append", "clear",  "extend",  "insert",
                                                     "pop",    "remove", "reverse", "sort"};
  constexpr std::array<std::string_view, 5> kDict = {"clear", "pop", "popitem", "setdefault", "update"};
  if (type == Type::kList) return std::find(kList.begin(), kList.end(), name) != kList.end();
  return type == Type::kDict && std::find(kDict.begin(), kDict.end(), name) != kDict.end();
}

std::string object_description(const Value& object) {
  if (object.is_none()) return "None";
  return fmt::format("{} object", type_name(object));
}

Value missing_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  return runtime.undefined(fmt::format("'{}' has no attribute '{}'", object_description(object), name));
}

std::optional<Value> named_item(const Value& object, std::string_view name) {
  if (!object.is(Type::kTuple) || object.list_object().class_name != "group") return std::nullopt;
  if (name == "grouper") return object.items()[0];
  if (name == "list") return object.items()[1];
  return std::nullopt;
}

std::optional<Value> plain_attribute(const Value& object, std::string_view name) {
  if (object.is(Type::kRange)) {
    const RangeObject& range = object.range();
    if (name == "start") return Value::integer(range.start);
    if (name == "stop") return Value::integer(range.stop);
    if (name == "step") return Value::integer(range.step);
  } else if (object.is_number()) {
    if (name == "real") return object.is(Type::kFloat) ? object : Value::integer(object.integer());
    if (name == "imag") return object.is(Type::kFloat) ? Value(0.0) : Value::integer(0);
  }
  return named_item(object, name);
}

// getattr() of the Python object; nullopt when it has no such attribute.
std::optional<Value> python_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is(Type::kNative)) return object.native()->attribute(runtime, name);
  if (is_modifying(object.type(), name)) {
    return runtime.undefined(
        fmt::format("access to attribute '{}' of '{}' object is unsafe.", name, type_name(object)));
  }
  if (auto value = plain_attribute(object, name)) return value;
  const MethodEntry* method =
      object.is_string() ? find_string_method(name) : find_container_method(object.type(), name);
  if (method) return runtime.method(object, *method);
  return std::nullopt;
}

std::optional<size_t> resolve_index(Int index, size_t size) {
  if (index < 0) index += static_cast<Int>(size);
  if (index < 0 || index >= static_cast<Int>(size)) return std::nullopt;
  return static_cast<size_t>(index);
}

Value character_at(Runtime& runtime, const Value& object, size_t index) {
  const StringObject& string = object.string_object();
  bool ascii = string.length == string.text.size();
  if (!ascii) runtime.step_bytes(string.text.size());
  size_t offset = ascii ? index : byte_offset(string.text, index);
  uint32_t size = ascii ? 1 : decode_code_point(std::string_view(string.text).substr(offset)).size;
  return runtime.string(string.text.substr(offset, size), string.markup);
}

// object[key] of Python where key is an integer; nullopt where it would raise.
std::optional<Value> integer_item(Runtime& runtime, const Value& object, Int key) {
  switch (object.type()) {
    case Type::kList:
    case Type::kTuple:
      if (auto index = resolve_index(key, object.items().size())) return object.items()[*index];
      return std::nullopt;
    case Type::kString:
      if (auto index = resolve_index(key, object.string_object().length))
        return character_at(runtime, object, *index);
      return std::nullopt;
    case Type::kRange:
      if (auto index = resolve_index(key, object.range().length)) {
        return Value::integer(object.range().start + static_cast<Int>(*index) * object.range().step);
      }
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

std::optional<Value> python_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is(Type::kDict)) {
    if (!is_hashable(key)) return std::nullopt;
    const Value* found = object.dict().find(runtime, key);
    return found ? std::optional(*found) : std::nullopt;
  }
  if (key.is_integral()) return integer_item(runtime, object, key.integer());
  return std::nullopt;
}

struct SliceBounds {
  int64_t start = 0, step = 1;
  size_t count = 0;
};

// slice.indices(size) of Python.
Result<SliceBounds> resolve_slice(const Value& start, const Value& stop, const Value& step, size_t size) {
  auto length = static_cast<int64_t>(size);
  int64_t stride = 1;
  if (!step.is_none()) {
    EXO_TRY(stride, to_index(step));
  }
  if (stride == 0) return python_error("slice step cannot be zero");
  int64_t low = stride < 0 ? -1 : 0, high = stride < 0 ? length - 1 : length;
  auto bound = [&](const Value& value, int64_t fallback) -> Result<int64_t> {
    if (value.is_none()) return fallback;
    EXO_TRY(int64_t index, to_index(value));
    if (index < 0) index += length;
    return std::clamp(index, low, high);
  };
  EXO_TRY(int64_t first, bound(start, stride < 0 ? high : low));
  EXO_TRY(int64_t last, bound(stop, stride < 0 ? low : high));
  SliceBounds bounds{first, stride, 0};
  int64_t distance = stride > 0 ? last - first : first - last;
  uint64_t magnitude = stride > 0 ? static_cast<uint64_t>(stride) : 0 - static_cast<uint64_t>(stride);
  if (distance > 0) bounds.count = (static_cast<uint64_t>(distance) - 1) / magnitude + 1;
  return bounds;
}

Value slice_string(Runtime& runtime, const Value& object, const SliceBounds& bounds) {
  const StringObject& string = object.string_object();
  auto first = static_cast<size_t>(bounds.start);
  if (bounds.count == 0) return runtime.string({}, string.markup);
  if (bounds.step == 1) {
    if (string.length == string.text.size())
      return runtime.string(string.text.substr(first, bounds.count), string.markup);
    runtime.step_bytes(string.text.size());
    size_t begin = byte_offset(string.text, first);
    size_t size = byte_offset(std::string_view(string.text).substr(begin), bounds.count);
    return runtime.string(string.text.substr(begin, size), string.markup);
  }
  runtime.step_bytes(string.text.size() * 8);
  std::u32string codes = decode_utf8(string.text), picked;
  for (size_t i = 0; i < bounds.count; ++i) {
    picked += codes[static_cast<size_t>(bounds.start + static_cast<int64_t>(i) * bounds.step)];
  }
  return runtime.string(encode_utf8(picked), string.markup);
}

}  // namespace

ValueResult get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is_undefined()) return undefined_error(object);
  if (auto value = python_attribute(runtime, object, name)) return *value;
  if (object.is(Type::kDict)) {
    if (const Value* value = object.dict().find(name)) return *value;
  }
  return missing_attribute(runtime, object, name);
}

ValueResult get_item(Runtime& runtime, const Value& object, const Value& key) {
  if (object.is_undefined()) return undefined_error(object);
  if (auto value = python_item(runtime, object, key)) return *value;
  if (key.is_string()) {
    if (auto value = python_attribute(runtime, object, key.string())) return *value;
    return missing_attribute(runtime, object, key.string());
  }
  return runtime.undefined(fmt::format("{} has no element {}", object_description(object), to_repr(runtime, key)));
}

ValueResult get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                      const Value& step) {
  if (object.is_undefined()) return undefined_error(object);
  bool sliceable = object.is_sequence() || object.is_string() || object.is(Type::kRange);
  if (!sliceable) return python_error("'{}' object cannot be sliced", type_name(object));
  EXO_TRY(size_t size, length_of(object));
  EXO_TRY(SliceBounds bounds, resolve_slice(start, stop, step, size));
  if (object.is_string()) return slice_string(runtime, object, bounds);
  if (object.is(Type::kRange)) {
    const RangeObject& range = object.range();
    int64_t first = range.start + bounds.start * range.step;
    int64_t stride = bounds.count > 1 ? bounds.step * range.step : range.step;
    return runtime.range(first, first + static_cast<int64_t>(bounds.count) * stride, stride, bounds.count);
  }
  if (!runtime.allows_memory(bounds.count * sizeof(Value))) return runtime.failure();
  std::vector<Value> items;
  items.reserve(bounds.count);
  for (size_t i = 0; i < bounds.count; ++i) {
    items.push_back(object.items()[static_cast<size_t>(bounds.start + static_cast<int64_t>(i) * bounds.step)]);
  }
  return runtime.sequence(object.type(), std::move(items), {});
}

}  // namespace exo::chat::jinja
