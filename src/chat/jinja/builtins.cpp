#include "chat/jinja/builtins.h"

#include <unordered_map>

#include "chat/jinja/access.h"
#include "chat/jinja/natives.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

using Test = Result<bool>;

// A test that looks at the value alone.
template <bool (*predicate)(const Value&)>
Test plain(Runtime&, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  return predicate(value);
}

template <CompareOp op>
Test comparison(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("test", arguments, {"other"}, 1));
  return apply_compare(runtime, op, value, *bound[0]);
}

ValueResult modulo(Runtime& runtime, const Value& value, const Value& divisor) {
  return apply_binary(runtime, BinaryOp::kModulo, value, divisor);
}

template <int rest>
Test parity(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  EXO_TRY(Value remainder, modulo(runtime, value, Value::integer(2)));
  return equal(runtime, remainder, Value::integer(rest));
}

Test divisible_by(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("divisibleby", arguments, {"num"}, 1));
  EXO_TRY(Value remainder, modulo(runtime, value, *bound[0]));
  return equal(runtime, remainder, Value::integer(0));
}

// Whether all cased characters satisfy `wanted` and there is one.
template <bool (*wanted)(char32_t), bool (*unwanted)(char32_t)>
Test all_cased(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  bool any = false;
  for (char32_t code : decode_utf8(to_str(runtime, value))) {
    if (unwanted(code) || is_title(code)) return false;
    any = any || wanted(code);
  }
  return any;
}

Test same_as(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("sameas", arguments, {"other"}, 1));
  const Value& other = *bound[0];
  if (value.type() != other.type()) return false;
  if (value.object())
    return value.object() == other.object() || (value.is_string() && equal(runtime, value, other));
  return equal(runtime, value, other);
}

Test contained_in(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("in", arguments, {"seq"}, 1));
  return contains(runtime, *bound[0], value);
}

bool is_boolean(const Value& value) { return value.is(Type::kBool); }
bool is_callable(const Value& value) {
  return value.is(Type::kMethod) || value.is_undefined() || (value.is(Type::kNative) && value.native()->callable());
}
bool is_defined(const Value& value) { return !value.is_undefined(); }
bool is_not_defined(const Value& value) { return value.is_undefined(); }
bool is_escaped(const Value& value) { return value.is_markup(); }
bool is_false(const Value& value) { return value.is(Type::kBool) && !value.boolean(); }
bool is_true(const Value& value) { return value.is(Type::kBool) && value.boolean(); }
bool is_float(const Value& value) { return value.is(Type::kFloat); }
bool is_integer(const Value& value) { return value.is(Type::kInt); }
bool is_known_filter(const Value& value) { return value.is_string() && find_filter(value.string()); }
bool is_known_test(const Value& value) { return value.is_string() && find_test(value.string()); }
bool is_mapping(const Value& value) { return value.is(Type::kDict); }
bool is_none(const Value& value) { return value.is_none(); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_string(const Value& value) { return value.is_string(); }
bool is_sequence(const Value& value) {
  return value.is_sequence() || value.is_string() || value.is(Type::kDict) || value.is(Type::kRange) ||
         value.is_undefined();
}

constexpr TestEntry kTests[] = {
    {"!=", &comparison<CompareOp::kNotEqual>},
    {"<", &comparison<CompareOp::kLess>},
    {"<=", &comparison<CompareOp::kLessEqual>},
    {"==", &comparison<CompareOp::kEqual>},
    {">", &comparison<CompareOp::kGreater>},
    {">=", &comparison<CompareOp::kGreaterEqual>},
    {"boolean", &plain<is_boolean>},
    {"callable", &plain<is_callable>},
    {"defined", &plain<is_defined>},
    {"divisibleby", &divisible_by},
    {"eq", &comparison<CompareOp::kEqual>},
    {"equalto", &comparison<CompareOp::kEqual>},
    {"escaped", &plain<is_escaped>},
    {"even", &parity<0>},
    {"false", &plain<is_false>},
    {"filter", &plain<is_known_filter>},
    {"float", &plain<is_float>},
    {"ge", &comparison<CompareOp::kGreaterEqual>},
    {"greaterthan", &comparison<CompareOp::kGreater>},
    {"gt", &comparison<CompareOp::kGreater>},
    {"in", &contained_in},
    {"integer", &plain<is_integer>},
    {"iterable", &plain<is_iterable>},
    {"le", &comparison<CompareOp::kLessEqual>},
    {"lessthan", &comparison<CompareOp::kLess>},
    {"lower", &all_cased<is_lower, is_upper>},
    {"lt", &comparison<CompareOp::kLess>},
    {"mapping", &plain<is_mapping>},
    {"ne", &comparison<CompareOp::kNotEqual>},
    {"none", &plain<is_none>},
    {"number", &plain<is_number>},
    {"odd", &parity<1>},
    {"sameas", &same_as},
    {"sequence", &plain<is_sequence>},
    {"string", &plain<is_string>},
    {"test", &plain<is_known_test>},
    {"true", &plain<is_true>},
    {"undefined", &plain<is_not_defined>},
    {"upper", &all_cased<is_upper, is_lower>},
};

using FilterIndex = std::unordered_map<std::string_view, const FilterEntry*>;

FilterIndex make_filter_index() {
  FilterIndex index;
  for (auto table : {text_filters(), sequence_filters(), number_filters()}) {
    for (const FilterEntry& entry : table) index.emplace(entry.name, &entry);
  }
  return index;
}

}  // namespace

const FilterEntry* find_filter(std::string_view name) {
  static const FilterIndex index = make_filter_index();
  auto found = index.find(name);
  return found == index.end() ? nullptr : found->second;
}

const TestEntry* find_test(std::string_view name) {
  for (const TestEntry& entry : kTests) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

ValueResult apply_filter(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  const FilterEntry* filter = find_filter(name);
  if (!filter) return python_error("No filter named '{}'.", name);
  return filter->apply(runtime, value, arguments);
}

Result<bool> apply_test(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  const TestEntry* test = find_test(name);
  if (!test) return python_error("No test named '{}'.", name);
  return test->apply(runtime, value, arguments);
}

Result<AttributeGetter> AttributeGetter::make(Runtime& runtime, const Value* attribute, bool ignore_case,
                                              const Value* fallback) {
  AttributeGetter getter;
  getter.ignore_case_ = ignore_case;
  if (fallback && !fallback->is_none()) getter.fallback_ = *fallback;
  if (!attribute || attribute->is_none()) return getter;
  if (!attribute->is_string()) {
    getter.parts_.push_back(*attribute);
    return getter;
  }
  std::string_view rest = attribute->string();
  while (true) {
    size_t dot = rest.find('.');
    std::string_view part = rest.substr(0, dot);
    bool digits = !part.empty() && part.size() < 10 && part.find_first_not_of("0123456789") == part.npos;
    getter.parts_.push_back(digits ? Value::integer(std::stoi(std::string(part)))
                                   : runtime.string(std::string(part)));
    if (dot == rest.npos) return getter;
    rest.remove_prefix(dot + 1);
  }
}

ValueResult AttributeGetter::get(Runtime& runtime, const Value& item) const {
  Value value = item;
  for (const Value& part : parts_) {
    EXO_TRY(value, get_item(runtime, value, part));
    if (fallback_ && value.is_undefined()) value = *fallback_;
  }
  if (ignore_case_ && value.is_string()) return runtime.string(to_lower(value.string()));
  return value;
}

namespace {

// Merge sort that stops at the first failing comparison.
class Sorter {
 public:
  Sorter(Runtime& runtime, const std::vector<Value>& keys, bool descending)
      : runtime_(runtime), keys_(keys), descending_(descending), order_(keys.size()), scratch_(keys.size()) {
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = i;
  }

  Result<std::vector<size_t>> run() {
    EXO_CHECK_OK(sort(0, order_.size()));
    return std::move(order_);
  }

 private:
  Status sort(size_t begin, size_t end) {
    if (end - begin < 2) return {};
    size_t middle = begin + (end - begin) / 2;
    EXO_CHECK_OK(sort(begin, middle));
    EXO_CHECK_OK(sort(middle, end));
    size_t left = begin, right = middle;
    for (size_t out = begin; out < end; ++out) {
      bool take_right = left == middle;
      if (left < middle && right < end) {
        EXO_TRY(take_right, comes_before(order_[right], order_[left]));
      }
      scratch_[out] = take_right ? order_[right++] : order_[left++];
    }
    for (size_t i = begin; i < end; ++i) order_[i] = scratch_[i];
    return {};
  }

  Result<bool> comes_before(size_t a, size_t b) {
    if (descending_) std::swap(a, b);
    EXO_TRY(int order, compare(runtime_, keys_[a], keys_[b], "<"));
    return order < 0;
  }

  Runtime& runtime_;
  const std::vector<Value>& keys_;
  bool descending_;
  std::vector<size_t> order_, scratch_;
};

}  // namespace

Result<std::vector<Value>> sort_by_keys(Runtime& runtime, std::vector<Value> items, std::vector<Value> keys,
                                        bool descending) {
  EXO_TRY(std::vector<size_t> order, Sorter(runtime, keys, descending).run());
  std::vector<Value> sorted;
  sorted.reserve(items.size());
  for (size_t i : order) sorted.push_back(items[i]);
  return sorted;
}

}  // namespace exo::chat::jinja
