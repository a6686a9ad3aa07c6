#pragma once
// Filters and tests by name.

#include <span>

#include "chat/jinja/arguments.h"

namespace exo::chat::jinja {

using FilterFunction = ValueResult (*)(Runtime& runtime, const Value& value, const Arguments& arguments);
using TestFunction = Result<bool> (*)(Runtime& runtime, const Value& value, const Arguments& arguments);

struct FilterEntry {
  std::string_view name;
  FilterFunction apply;
};
struct TestEntry {
  std::string_view name;
  TestFunction apply;
};

// nullptr when there is none of that name.
const FilterEntry* find_filter(std::string_view name);
const TestEntry* find_test(std::string_view name);

ValueResult apply_filter(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments);
Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments);

// sorted(): stable; `keys[i]` belongs to `items[i]`.
Result<std::vector<Value>> sort_by_keys(Runtime& runtime, std::vector<Value> items, std::vector<Value> keys,
                                        bool descending);

// An attribute path of a filter's argument ("a.b.0", a number, none): what it finds in an item.
class AttributeGetter {
 public:
  // `ignore_case`: strings that are found are lowered. `fallback` replaces what is undefined.
  static Result<AttributeGetter> make(Runtime& runtime, const Value* attribute, bool ignore_case,
                                      const Value* fallback = nullptr);
  ValueResult get(Runtime& runtime, const Value& item) const;

 private:
  std::vector<Value> parts_;
  bool ignore_case_ = false;
  std::optional<Value> fallback_;
};

// The tables, one per kind of value they work on.
std::span<const FilterEntry> text_filters();
std::span<const FilterEntry> sequence_filters();
std::span<const FilterEntry> number_filters();

}  // namespace exo::chat::jinja
