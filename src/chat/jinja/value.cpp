#include "chat/jinja/value.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "chat/jinja/runtime.h"

namespace exo::chat::jinja {
namespace {

uint64_t mix(uint64_t hash) {
  hash ^= hash >> 33;
  hash *= 0xff51afd7ed558ccdULL;
  return hash ^ (hash >> 33);
}

uint64_t hash_int(Int value) {
  return mix(static_cast<uint64_t>(value) ^ (static_cast<uint64_t>(value >> 64) * 0x9e3779b97f4a7c15ULL));
}

// Integers and floats that are equal must hash alike.
uint64_t hash_float(double value) {
  constexpr double kIntLimit = 0x1p120;
  if (std::floor(value) == value && std::fabs(value) < kIntLimit) return hash_int(static_cast<Int>(value));
  return mix(std::hash<double>{}(value));
}

bool equal_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) return a.integer() == b.integer();
  return a.real() == b.real();
}

bool equal_items(Runtime& runtime, const std::vector<Value>& a, const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!equal(runtime, a[i], b[i])) return false;
  }
  return true;
}

bool equal_dicts(Runtime& runtime, const DictObject& a, const DictObject& b) {
  if (a.entries.size() != b.entries.size()) return false;
  for (const auto& [key, value] : a.entries) {
    const Value* other = b.find(runtime, key);
    if (!other || !equal(runtime, value, *other)) return false;
  }
  return true;
}

bool equal_ranges(const RangeObject& a, const RangeObject& b) {
  if (a.length != b.length) return false;
  return a.length == 0 || (a.start == b.start && (a.length == 1 || a.step == b.step));
}

int sign(auto a, auto b) { return a < b ? -1 : a > b ? 1 : 0; }

Result<int> compare_sequences(Runtime& runtime, const Value& a, const Value& b, std::string_view operator_name) {
  const auto& left = a.items();
  const auto& right = b.items();
  for (size_t i = 0; i < left.size() && i < right.size(); ++i) {
    if (!equal(runtime, left[i], right[i])) return compare(runtime, left[i], right[i], operator_name);
  }
  return sign(left.size(), right.size());
}

}  // namespace

std::string_view type_name(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return "Undefined";
    case Type::kNone:
      return "NoneType";
    case Type::kBool:
      return "bool";
    case Type::kInt:
      return "int";
    case Type::kFloat:
      return "float";
    case Type::kString:
      return value.is_markup() ? "Markup" : "str";
    case Type::kList:
      return "list";
    case Type::kTuple:
      return "tuple";
    case Type::kDict:
      return "dict";
    case Type::kRange:
      return "range";
    case Type::kView:
      return value.list_object().class_name;
    case Type::kIterator:
      return value.iterator().class_name;
    case Type::kMethod:
      return "builtin_function_or_method";
    case Type::kNative:
      return value.native()->class_name();
  }
  return "object";
}

bool is_hashable(const Value& value) {
  if (value.is(Type::kTuple)) return std::all_of(value.items().begin(), value.items().end(), is_hashable);
  return !value.is(Type::kList) && !value.is(Type::kDict) && !value.is(Type::kView);
}

uint64_t hash_string(std::string_view text) { return mix(std::hash<std::string_view>{}(text)); }

uint64_t hash_value(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 1;
    case Type::kNone:
      return 2;
    case Type::kBool:
    case Type::kInt:
      return hash_int(value.integer());
    case Type::kFloat:
      return hash_float(value.real());
    case Type::kString:
      return hash_string(value.string());
    case Type::kTuple: {
      uint64_t hash = 3;
      for (const Value& item : value.items()) hash = mix(hash * 31 + hash_value(item));
      return hash;
    }
    case Type::kRange:
      return mix(value.range().length);
    case Type::kNative:
      return mix(reinterpret_cast<uintptr_t>(value.native()));
    default:
      return mix(reinterpret_cast<uintptr_t>(value.object()));
  }
}

const Value* DictObject::find(Runtime& runtime, const Value& key) const {
  if (index.empty()) {
    for (const auto& [own, value] : entries) {
      if (equal(runtime, own, key)) return &value;
    }
    return nullptr;
  }
  uint64_t hash = hash_value(key);
  for (auto it = std::lower_bound(index.begin(), index.end(), std::pair{hash, uint32_t{0}});
       it != index.end() && it->first == hash; ++it) {
    if (equal(runtime, entries[it->second].first, key)) return &entries[it->second].second;
  }
  return nullptr;
}

const Value* DictObject::find(std::string_view key) const {
  auto matches = [&](const Value& own) { return own.is_string() && own.string() == key; };
  if (index.empty()) {
    for (const auto& [own, value] : entries) {
      if (matches(own)) return &value;
    }
    return nullptr;
  }
  uint64_t hash = hash_string(key);
  for (auto it = std::lower_bound(index.begin(), index.end(), std::pair{hash, uint32_t{0}});
       it != index.end() && it->first == hash; ++it) {
    if (matches(entries[it->second].first)) return &entries[it->second].second;
  }
  return nullptr;
}

bool truthy(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
    case Type::kNone:
      return false;
    case Type::kBool:
    case Type::kInt:
      return value.integer() != 0;
    case Type::kFloat:
      return value.real() != 0;
    case Type::kString:
      return !value.string().empty();
    case Type::kList:
    case Type::kTuple:
    case Type::kView:
      return !value.items().empty();
    case Type::kDict:
      return !value.dict().entries.empty();
    case Type::kRange:
      return value.range().length != 0;
    case Type::kIterator:
    case Type::kMethod:
    case Type::kNative:
      return true;
  }
  return true;
}

bool equal(Runtime& runtime, const Value& a, const Value& b) {
  if (!runtime.step()) return false;
  if (a.is_number() && b.is_number()) return equal_numbers(a, b);
  if (a.type() != b.type()) return false;
  switch (a.type()) {
    case Type::kUndefined:
    case Type::kNone:
      return true;
    case Type::kString:
      return a.string() == b.string();
    case Type::kList:
    case Type::kTuple:
      return equal_items(runtime, a.items(), b.items());
    case Type::kView:
      return a.object() == b.object() || (a.list_object().class_name != "dict_values" &&
                                          a.list_object().class_name == b.list_object().class_name &&
                                          equal_items(runtime, a.items(), b.items()));
    case Type::kDict:
      return equal_dicts(runtime, a.dict(), b.dict());
    case Type::kRange:
      return equal_ranges(a.range(), b.range());
    case Type::kMethod:
      return a.method().entry == b.method().entry && a.method().self.object() == b.method().self.object();
    case Type::kNative:
      return a.native() == b.native();
    default:
      return a.object() == b.object();
  }
}

Result<int> compare(Runtime& runtime, const Value& a, const Value& b, std::string_view operator_name) {
  if (!runtime.step()) return runtime.failure();
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return sign(a.integer(), b.integer());
    if (std::isnan(a.real()) || std::isnan(b.real())) return kUnordered;
    return sign(a.real(), b.real());
  }
  if (a.is_string() && b.is_string()) {
    if (!runtime.step_bytes(std::min(a.string().size(), b.string().size()))) return runtime.failure();
    return sign(a.string().compare(b.string()), 0);  // UTF-8 orders as its code points do
  }
  if (a.is_sequence() && a.type() == b.type()) return compare_sequences(runtime, a, b, operator_name);
  return python_error("'{}' not supported between instances of '{}' and '{}'", operator_name, type_name(a),
                      type_name(b));
}

}  // namespace exo::chat::jinja
