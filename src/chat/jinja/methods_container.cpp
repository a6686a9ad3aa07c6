// Methods of dict, list, tuple and range that change nothing.
#include <algorithm>
#include <span>

#include "chat/jinja/access.h"

namespace exo::chat::jinja {
namespace {

ValueResult dict_get(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("get", arguments, {"key", "default"}, 1));
  if (!is_hashable(*bound[0])) return python_error("unhashable type: '{}'", type_name(*bound[0]));
  if (const Value* found = self.dict().find(runtime, *bound[0])) return *found;
  return bound[1] ? *bound[1] : Value();
}

ValueResult dict_items(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value] : self.dict().entries) items.push_back(runtime.tuple({key, value}));
  return runtime.sequence(Type::kView, std::move(items), "dict_items");
}

ValueResult dict_keys(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value] : self.dict().entries) items.push_back(key);
  return runtime.sequence(Type::kView, std::move(items), "dict_keys");
}

ValueResult dict_values(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::vector<Value> items;
  items.reserve(self.dict().entries.size());
  for (const auto& [key, value] : self.dict().entries) items.push_back(value);
  return runtime.sequence(Type::kView, std::move(items), "dict_values");
}

// Values are immutable: a copy is the value itself.
ValueResult copy(Runtime&, const Value& self, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return self;
}

ValueResult sequence_count(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("count", arguments, {"value"}, 1));
  EXO_TRY(std::vector<Value> items, iterate(runtime, self));
  Int number = 0;
  for (const Value& item : items) number += equal(runtime, item, *bound[0]) ? 1 : 0;
  return Value::integer(number);
}

ValueResult sequence_index(Runtime& runtime, const Value& self, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("index", arguments, {"value", "start", "stop"}, 1));
  EXO_TRY(std::vector<Value> items, iterate(runtime, self));
  auto size = static_cast<int64_t>(items.size());
  EXO_TRY(int64_t start, bound.integer_or(1, 0));
  EXO_TRY(int64_t stop, bound.integer_or(2, size));
  if (start < 0) start = std::max<int64_t>(0, start + size);
  if (stop < 0) stop += size;
  for (int64_t i = start; i < std::min(stop, size); ++i) {
    if (equal(runtime, items[static_cast<size_t>(i)], *bound[0])) return Value::integer(i);
  }
  return python_error("{} is not in {}", to_repr(runtime, *bound[0]), type_name(self));
}

constexpr MethodEntry kDictMethods[] = {
    {"copy", &copy}, {"get", &dict_get}, {"items", &dict_items}, {"keys", &dict_keys}, {"values", &dict_values}};
constexpr MethodEntry kListMethods[] = {{"copy", &copy}, {"count", &sequence_count}, {"index", &sequence_index}};
constexpr MethodEntry kTupleMethods[] = {{"count", &sequence_count}, {"index", &sequence_index}};

const MethodEntry* find_in(std::span<const MethodEntry> table, std::string_view name) {
  for (const MethodEntry& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace

const MethodEntry* find_container_method(Type type, std::string_view name) {
  switch (type) {
    case Type::kDict:
      return find_in(kDictMethods, name);
    case Type::kList:
      return find_in(kListMethods, name);
    case Type::kTuple:
    case Type::kRange:
      return find_in(kTupleMethods, name);
    default:
      return nullptr;
  }
}

}  // namespace exo::chat::jinja
