// Filters on sequences and mappings.
#include <algorithm>
#include <unordered_map>

#include "chat/jinja/access.h"
#include "chat/jinja/builtins.h"
#include "chat/jinja/operators.h"
#include "chat/jinja/text_ops.h"
#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

Result<std::vector<Value>> keys_of(Runtime& runtime, const std::vector<Value>& items,
                                   const AttributeGetter& getter) {
  std::vector<Value> keys;
  keys.reserve(items.size());
  for (const Value& item : items) {
    if (!runtime.step()) return runtime.failure();
    EXO_TRY(Value key, getter.get(runtime, item));
    keys.push_back(std::move(key));
  }
  return keys;
}

ValueResult filter_attr(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("attr", arguments, {"name"}, 1));
  EXO_TRY(std::string_view name, to_text(*bound[0], "attribute name"));
  if (value.is(Type::kDict) && !find_container_method(Type::kDict, name)) {
    return runtime.undefined(fmt::format("'dict object' has no attribute '{}'", name));
  }
  return get_attribute(runtime, value, name);
}

ValueResult filter_batch(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("batch", arguments, {"linecount", "fill_with"}, 1));
  EXO_TRY(int64_t size, to_index(*bound[0]));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  std::vector<Value> batches, batch;
  for (Value& item : items) {
    if (static_cast<int64_t>(batch.size()) == size) batches.push_back(runtime.list(std::exchange(batch, {})));
    batch.push_back(std::move(item));
  }
  if (!batch.empty()) {
    if (bound.given(1) && static_cast<int64_t>(batch.size()) < size) {
      if (!runtime.allows_memory(static_cast<size_t>(std::min<int64_t>(size, int64_t{1} << 40)) * sizeof(Value))) {
        return runtime.failure();
      }
      batch.resize(static_cast<size_t>(size), *bound[1]);
    }
    batches.push_back(runtime.list(std::move(batch)));
  }
  return runtime.iterator(std::move(batches));
}

ValueResult filter_slice(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("slice", arguments, {"slices", "fill_with"}, 1));
  EXO_TRY(int64_t count, to_index(*bound[0]));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  if (count == 0) return python_error("integer division or modulo by zero");
  count = std::max<int64_t>(count, 0);
  if (!runtime.allows_memory(static_cast<size_t>(std::min<int64_t>(count, int64_t{1} << 40)) *
                             (sizeof(Value) + sizeof(ListObject)))) {
    return runtime.failure();
  }
  std::vector<Value> slices;
  auto slice_count = static_cast<size_t>(count);
  size_t begin = 0;
  for (size_t i = 0; i < slice_count && runtime.step(); ++i) {
    bool extra = i < items.size() % slice_count;
    size_t end = begin + items.size() / slice_count + (extra ? 1 : 0);
    std::vector<Value> slice(items.begin() + static_cast<std::ptrdiff_t>(begin),
                             items.begin() + static_cast<std::ptrdiff_t>(end));
    if (bound.given(1) && !extra) slice.push_back(*bound[1]);
    slices.push_back(runtime.list(std::move(slice)));
    begin = end;
  }
  return runtime.iterator(std::move(slices));
}

ValueResult filter_length(Runtime&, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  EXO_TRY(size_t length, length_of(value));
  return Value::integer(static_cast<Int>(length));
}

ValueResult filter_default(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("default", arguments, {"default_value", "boolean"}));
  bool replace = value.is_undefined() || (bound.truth_or(1, false) && !truthy(value));
  if (!replace) return value;
  return bound[0] ? *bound[0] : runtime.string({});
}

Value pair(Runtime& runtime, const std::pair<Value, Value>& entry) {
  return runtime.tuple({entry.first, entry.second});
}

ValueResult filter_dictsort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("dictsort", arguments, {"case_sensitive", "by", "reverse"}));
  std::string by = bound[1] ? to_str(runtime, *bound[1]) : "key";
  if (by != "key" && by != "value") return python_error("You can only sort by either \"key\" or \"value\"");
  if (value.is_undefined()) return undefined_error(value);
  if (!value.is(Type::kDict)) return python_error("'{}' object has no attribute 'items'", type_name(value));
  std::vector<Value> items, keys;
  for (const auto& entry : value.dict().entries) {
    items.push_back(pair(runtime, entry));
    Value key = by == "key" ? entry.first : entry.second;
    if (!bound.truth_or(0, false) && key.is_string()) key = runtime.string(to_lower(key.string()));
    keys.push_back(std::move(key));
  }
  EXO_TRY(items, sort_by_keys(runtime, std::move(items), std::move(keys), bound.truth_or(2, false)));
  return runtime.list(std::move(items));
}

ValueResult filter_items(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  std::vector<Value> items;
  if (value.is_undefined()) return runtime.iterator(std::move(items));
  if (!value.is(Type::kDict)) return python_error("Can only get item pairs from a mapping.");
  for (const auto& entry : value.dict().entries) items.push_back(pair(runtime, entry));
  return runtime.iterator(std::move(items));
}

ValueResult filter_first(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  auto none = [&] { return runtime.undefined("No first item, sequence was empty."); };
  if (value.is(Type::kIterator)) {
    const IteratorObject& iterator = value.iterator();
    return iterator.next < iterator.items.size() ? iterator.items[iterator.next++] : none();
  }
  if (value.is_string() || value.is(Type::kRange)) {
    EXO_TRY(size_t length, length_of(value));
    return length == 0 ? ValueResult(none()) : get_item(runtime, value, Value::integer(0));
  }
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  return items.empty() ? none() : items.front();
}

ValueResult filter_last(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is(Type::kIterator)) return python_error("'{}' object is not reversible", type_name(value));
  if (value.is_string() || value.is(Type::kRange)) {
    EXO_TRY(size_t length, length_of(value));
    if (length > 0) return get_item(runtime, value, Value::integer(-1));
  }
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  if (items.empty()) return runtime.undefined("No last item, sequence was empty.");
  return items.back();
}

ValueResult filter_join(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("join", arguments, {"d", "attribute"}));
  std::string separator = bound[0] ? to_str(runtime, *bound[0]) : "";
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[1], false));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  TextWriter out(runtime);
  for (size_t i = 0; i < items.size() && !out.full(); ++i) {
    if (i > 0) out.append(separator);
    EXO_TRY(Value item, getter.get(runtime, items[i]));
    append_str(out, item);
  }
  return runtime.string(out.take());
}

ValueResult filter_list(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  return runtime.list(std::move(items));
}

ValueResult filter_reverse(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_CHECK_OK(no_arguments(arguments));
  if (value.is_string()) return get_slice(runtime, value, Value(), Value(), Value::integer(-1));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  std::reverse(items.begin(), items.end());
  if (value.is(Type::kIterator)) return runtime.list(std::move(items));
  return runtime.iterator(std::move(items), "reversed");
}

ValueResult filter_map(Runtime& runtime, const Value& value, const Arguments& arguments) {
  std::vector<Value> results;
  if (!truthy(value)) return runtime.iterator(std::move(results));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  results.reserve(items.size());
  bool by_attribute = arguments.positional.empty() && !arguments.named.empty();
  if (by_attribute) {
    EXO_TRY(Bound bound, bind("map", arguments, {"attribute", "default"}, 1));
    EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[0], false, bound[1]));
    EXO_TRY(results, keys_of(runtime, items, getter));
    return runtime.iterator(std::move(results));
  }
  if (arguments.positional.empty()) return python_error("map requires a filter argument");
  EXO_TRY(std::string_view name, to_text(arguments.positional[0], "filter name"));
  Arguments rest{{arguments.positional.begin() + 1, arguments.positional.end()}, arguments.named};
  for (const Value& item : items) {
    if (!runtime.step()) return runtime.failure();
    EXO_TRY(Value result, apply_filter(runtime, name, item, rest));
    results.push_back(std::move(result));
  }
  return runtime.iterator(std::move(results));
}

template <bool keep_if, bool by_attribute>
ValueResult filter_choose(Runtime& runtime, const Value& value, const Arguments& arguments) {
  std::vector<Value> kept;
  if (!truthy(value)) return runtime.iterator(std::move(kept));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  size_t used = 0;
  const Value* attribute = nullptr;
  if (by_attribute) {
    if (arguments.positional.empty()) return python_error("Missing parameter for attribute name");
    attribute = &arguments.positional[used++];
  }
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, attribute, false));
  std::string_view test;
  if (used < arguments.positional.size()) {
    EXO_TRY(test, to_text(arguments.positional[used++], "test name"));
  }
  Arguments rest{{arguments.positional.begin() + static_cast<std::ptrdiff_t>(used), arguments.positional.end()},
                 arguments.named};
  for (Value& item : items) {
    if (!runtime.step()) return runtime.failure();
    EXO_TRY(Value subject, getter.get(runtime, item));
    bool passes = truthy(subject);
    if (!test.empty()) {
      EXO_TRY(passes, apply_test(runtime, test, subject, rest));
    }
    if (passes == keep_if) kept.push_back(std::move(item));
  }
  return runtime.iterator(std::move(kept));
}

// min and max: the first of the best.
template <bool want_max>
ValueResult filter_extreme(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind(want_max ? "max" : "min", arguments, {"case_sensitive", "attribute"}));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  if (items.empty()) return runtime.undefined("No aggregated item, sequence was empty.");
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[1], !bound.truth_or(0, false)));
  EXO_TRY(std::vector<Value> keys, keys_of(runtime, items, getter));
  size_t best = 0;
  for (size_t i = 1; i < items.size(); ++i) {
    EXO_TRY(int order, compare(runtime, keys[i], keys[best], want_max ? ">" : "<"));
    if (order != kUnordered && (want_max ? order > 0 : order < 0)) best = i;
  }
  return items[best];
}

ValueResult filter_sort(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("sort", arguments, {"reverse", "case_sensitive", "attribute"}));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  bool ignore_case = !bound.truth_or(1, false);
  std::vector<AttributeGetter> getters;
  if (bound[2] && bound[2]->is_string()) {
    for (std::string_view path : split_at(bound[2]->string(), ",", -1)) {
      Value part = runtime.string(std::string(path));
      EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, &part, ignore_case));
      getters.push_back(std::move(getter));
    }
  } else {
    EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[2], ignore_case));
    getters.push_back(std::move(getter));
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> parts;
    for (const AttributeGetter& getter : getters) {
      EXO_TRY(Value part, getter.get(runtime, item));
      parts.push_back(std::move(part));
    }
    if (!runtime.step()) return runtime.failure();
    keys.push_back(parts.size() == 1 ? std::move(parts[0]) : runtime.list(std::move(parts)));
  }
  EXO_TRY(items, sort_by_keys(runtime, std::move(items), std::move(keys), bound.truth_or(0, false)));
  return runtime.list(std::move(items));
}

ValueResult filter_groupby(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[0], !bound.truth_or(2, false), bound[1]));
  EXO_TRY(AttributeGetter label, AttributeGetter::make(runtime, bound[0], false, bound[1]));
  EXO_TRY(std::vector<Value> keys, keys_of(runtime, items, getter));
  EXO_TRY(items, sort_by_keys(runtime, std::move(items), keys, false));
  EXO_TRY(keys, keys_of(runtime, items, getter));
  std::vector<Value> groups;
  for (size_t begin = 0; begin < items.size();) {
    size_t end = begin + 1;
    while (end < items.size() && equal(runtime, keys[begin], keys[end])) ++end;
    EXO_TRY(Value grouper, label.get(runtime, items[begin]));
    std::vector<Value> members(items.begin() + static_cast<std::ptrdiff_t>(begin),
                               items.begin() + static_cast<std::ptrdiff_t>(end));
    groups.push_back(
        runtime.sequence(Type::kTuple, {std::move(grouper), runtime.list(std::move(members))}, "group"));
    begin = end;
  }
  return runtime.list(std::move(groups));
}

ValueResult filter_sum(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("sum", arguments, {"attribute", "start"}));
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[0], false));
  Value total = bound[1] ? *bound[1] : Value::integer(0);
  if (total.is_string()) return python_error("sum() can't sum strings [use ''.join(seq) instead]");
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  for (const Value& item : items) {
    if (!runtime.step()) return runtime.failure();
    EXO_TRY(Value term, getter.get(runtime, item));
    EXO_TRY(total, apply_binary(runtime, BinaryOp::kAdd, total, term));
  }
  return total;
}

ValueResult filter_unique(Runtime& runtime, const Value& value, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("unique", arguments, {"case_sensitive", "attribute"}));
  EXO_TRY(std::vector<Value> items, iterate(runtime, value));
  EXO_TRY(AttributeGetter getter, AttributeGetter::make(runtime, bound[1], !bound.truth_or(0, false)));
  EXO_TRY(std::vector<Value> keys, keys_of(runtime, items, getter));
  std::unordered_multimap<uint64_t, size_t> seen;
  std::vector<Value> kept;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!is_hashable(keys[i])) return python_error("unhashable type: '{}'", type_name(keys[i]));
    uint64_t hash = hash_value(keys[i]);
    auto [begin, end] = seen.equal_range(hash);
    bool known =
        std::any_of(begin, end, [&](const auto& entry) { return equal(runtime, keys[entry.second], keys[i]); });
    if (known) continue;
    seen.emplace(hash, i);
    kept.push_back(items[i]);
  }
  return runtime.iterator(std::move(kept));
}

constexpr FilterEntry kFilters[] = {
    {"attr", &filter_attr},
    {"batch", &filter_batch},
    {"count", &filter_length},
    {"d", &filter_default},
    {"default", &filter_default},
    {"dictsort", &filter_dictsort},
    {"first", &filter_first},
    {"groupby", &filter_groupby},
    {"items", &filter_items},
    {"join", &filter_join},
    {"last", &filter_last},
    {"length", &filter_length},
    {"list", &filter_list},
    {"map", &filter_map},
    {"max", &filter_extreme<true>},
    {"min", &filter_extreme<false>},
    {"reject", &filter_choose<false, false>},
    {"rejectattr", &filter_choose<false, true>},
    {"reverse", &filter_reverse},
    {"select", &filter_choose<true, false>},
    {"selectattr", &filter_choose<true, true>},
    {"slice", &filter_slice},
    {"sort", &filter_sort},
    {"sum", &filter_sum},
    {"unique", &filter_unique},
};

}  // namespace

std::span<const FilterEntry> sequence_filters() { return kFilters; }

}  // namespace exo::chat::jinja
