#include "chat/jinja/runtime.h"

#include <algorithm>

#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

// Evaluation and destruction recurse natively; secondary threads of some systems have 512 KiB.
constexpr size_t kMaxStackBytes = 320 << 10;
constexpr size_t kSmallDict = 8;

}  // namespace

Runtime::Runtime(const TemplateLimits& limits, std::chrono::system_clock::time_point now)
    : limits_(limits), now_(now), stack_base_(static_cast<const char*>(__builtin_frame_address(0))) {}

Runtime::~Runtime() {
  // Natives may hold values whose objects report to live_bytes_: release them while it lives.
  natives_.clear();
}

bool Runtime::step(uint64_t count) {
  if (failed_) return false;
  steps_ += count;
  if (steps_ > limits_.max_steps) exhaust("time (evaluation steps)");
  return !failed_;
}

void Runtime::exhaust(std::string_view what) {
  if (failed_) return;
  failed_ = true;
  failure_ = Error{ErrorCode::kResourceExhausted, fmt::format("the chat template needs too much {}", what)};
}

bool Runtime::allows_string(size_t bytes) {
  if (bytes > limits_.max_output_bytes) exhaust("memory for one string");
  return !failed_;
}

bool Runtime::allows_memory(size_t bytes) {
  if (bytes > limits_.max_memory_bytes || live_bytes_ > limits_.max_memory_bytes - bytes) exhaust("memory");
  return !failed_;
}

bool Runtime::stack_left() {
  auto* here = static_cast<const char*>(__builtin_frame_address(0));
  size_t used = here < stack_base_ ? stack_base_ - here : here - stack_base_;
  if (used > kMaxStackBytes) exhaust("nesting");
  return !failed_;
}

void Runtime::charge(Object& object, size_t bytes) {
  constexpr size_t kControlBlock = 16;
  object.live_bytes = &live_bytes_;
  object.charged_bytes = bytes + kControlBlock;
  live_bytes_ += object.charged_bytes;
  if (live_bytes_ > limits_.max_memory_bytes) exhaust("memory");
}

void Runtime::charge_permanently(size_t bytes) {
  live_bytes_ += bytes;
  if (live_bytes_ > limits_.max_memory_bytes) exhaust("memory");
}

Value Runtime::string(std::string text, bool markup) {
  auto object = std::make_shared<StringObject>();
  if (step_bytes(text.size()) && allows_string(text.size())) object->text = std::move(text);
  object->length = [&] {
    size_t continuation = std::count_if(object->text.begin(), object->text.end(),
                                        [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
    if (continuation == 0) return object->text.size();
    std::string_view rest = object->text;
    size_t count = 0;
    for (uint32_t size = 0; !rest.empty(); rest.remove_prefix(size), ++count) size = decode_code_point(rest).size;
    return count;
  }();
  object->markup = markup;
  charge(*object, sizeof(StringObject) + object->text.capacity());
  return Value(Type::kString, std::move(object));
}

Value Runtime::sequence(Type type, std::vector<Value> items, std::string_view class_name) {
  auto object = std::make_shared<ListObject>();
  int32_t depth = 0;
  for (const Value& item : items) depth = std::max(depth, item.depth() + 1);
  if (depth > limits_.max_depth) {
    exhaust("nesting of values");
    items.clear();
  }
  step(1 + items.size() / 8);
  object->items = std::move(items);
  object->depth = depth;
  object->class_name = class_name;
  charge(*object, sizeof(ListObject) + object->items.capacity() * sizeof(Value));
  return Value(type, std::move(object));
}

Value Runtime::iterator(std::vector<Value> items, std::string_view class_name) {
  auto object = std::make_shared<IteratorObject>();
  for (const Value& item : items) object->depth = std::max(object->depth, item.depth() + 1);
  if (object->depth > limits_.max_depth) {
    exhaust("nesting of values");
    items.clear();
  }
  object->items = std::move(items);
  object->class_name = class_name;
  charge(*object, sizeof(IteratorObject) + object->items.capacity() * sizeof(Value));
  return Value(Type::kIterator, std::move(object));
}

Value Runtime::dict(std::vector<std::pair<Value, Value>> entries) {
  auto object = std::make_shared<DictObject>();
  auto& kept = object->entries;
  kept.reserve(entries.size());
  // Entries by hash: a sorted index needs one pass to find the duplicates.
  std::vector<std::pair<uint64_t, uint32_t>> order;
  order.reserve(entries.size());
  for (uint32_t i = 0; i < entries.size(); ++i) order.emplace_back(hash_value(entries[i].first), i);
  std::sort(order.begin(), order.end());
  std::vector<uint32_t> first_of(entries.size());
  for (size_t i = 0; i < order.size(); ++i) {
    uint32_t entry = order[i].second;
    first_of[entry] = entry;
    for (size_t j = i; j > 0 && order[j - 1].first == order[i].first; --j) {
      uint32_t earlier = order[j - 1].second;
      if (equal(*this, entries[earlier].first, entries[entry].first)) {
        first_of[entry] = first_of[earlier];
        break;
      }
    }
  }
  std::vector<uint32_t> place(entries.size());
  for (uint32_t i = 0; i < entries.size(); ++i) {
    if (first_of[i] == i) {
      place[i] = static_cast<uint32_t>(kept.size());
      kept.push_back(std::move(entries[i]));
    } else {
      kept[place[first_of[i]]].second = std::move(entries[i].second);
    }
  }
  for (const auto& [key, value] : kept)
    object->depth = std::max({object->depth, value.depth() + 1, key.depth() + 1});
  if (object->depth > limits_.max_depth) {
    exhaust("nesting of values");
    kept.clear();
  }
  if (kept.size() > kSmallDict) {
    for (uint32_t i = 0; i < kept.size(); ++i) object->index.emplace_back(hash_value(kept[i].first), i);
    std::sort(object->index.begin(), object->index.end());
  }
  step(1 + kept.size() / 2);
  charge(*object, sizeof(DictObject) + kept.capacity() * sizeof(kept[0]) + object->index.capacity() * 16);
  return Value(Type::kDict, std::move(object));
}

Value Runtime::range(int64_t start, int64_t stop, int64_t step_size, size_t length) {
  auto object = std::make_shared<RangeObject>();
  object->start = start;
  object->stop = stop;
  object->step = step_size;
  object->length = length;
  charge(*object, sizeof(RangeObject));
  return Value(Type::kRange, std::move(object));
}

Value Runtime::method(const Value& self, const MethodEntry& entry) {
  auto object = std::make_shared<MethodObject>();
  object->depth = self.depth() + 1;
  if (object->depth > limits_.max_depth) {
    exhaust("nesting of values");
  } else {
    object->self = self;
  }
  object->entry = &entry;
  charge(*object, sizeof(MethodObject));
  return Value(Type::kMethod, std::move(object));
}

Value Runtime::undefined(std::string message) {
  auto object = std::make_shared<UndefinedObject>();
  object->message = std::move(message);
  charge(*object, sizeof(UndefinedObject) + object->message.capacity());
  return Value(Type::kUndefined, std::move(object));
}

Value Runtime::undefined_name(std::string_view name) {
  if (name == "self" || name == "super")
    return undefined(fmt::format("'{}' refers to blocks of templates, which a chat template cannot have", name));
  return undefined(fmt::format("'{}' is undefined", name));
}

std::unexpected<Error> undefined_error(const Value& value) { return python_error("{}", value.undefined_message()); }

Result<std::vector<Value>> iterate(Runtime& runtime, const Value& value) {
  std::vector<Value> out;
  switch (value.type()) {
    case Type::kUndefined:
      return out;
    case Type::kList:
    case Type::kTuple:
    case Type::kView:
      if (!runtime.step(1 + value.items().size() / 8)) return runtime.failure();
      return value.items();
    case Type::kIterator: {
      const IteratorObject& iterator = value.iterator();
      out.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.next), iterator.items.end());
      iterator.next = iterator.items.size();
      return out;
    }
    case Type::kDict:
      for (const auto& [key, unused] : value.dict().entries) out.push_back(key);
      return out;
    case Type::kRange: {
      const RangeObject& range = value.range();
      if (!runtime.allows_memory(range.length * sizeof(Value))) return runtime.failure();
      for (size_t i = 0; i < range.length; ++i) {
        out.push_back(Value::integer(range.start + static_cast<Int>(i) * range.step));
      }
      return out;
    }
    case Type::kString: {
      if (!runtime.allows_memory(value.string_object().length * (sizeof(Value) + sizeof(StringObject)))) {
        return runtime.failure();
      }
      std::string_view rest = value.string();
      while (!rest.empty() && runtime.step()) {
        uint32_t size = decode_code_point(rest).size;
        out.push_back(runtime.string(std::string(rest.substr(0, size)), value.is_markup()));
        rest.remove_prefix(size);
      }
      if (runtime.exhausted()) return runtime.failure();
      return out;
    }
    default:
      return python_error("'{}' object is not iterable", type_name(value));
  }
}

bool is_iterable(const Value& value) {
  switch (value.type()) {
    case Type::kNone:
    case Type::kBool:
    case Type::kInt:
    case Type::kFloat:
    case Type::kMethod:
      return false;
    case Type::kNative:
      return value.native()->class_name() == "LoopContext";
    default:
      return true;
  }
}

Result<size_t> length_of(const Value& value) {
  switch (value.type()) {
    case Type::kUndefined:
      return 0;
    case Type::kString:
      return value.string_object().length;
    case Type::kList:
    case Type::kTuple:
    case Type::kView:
      return value.items().size();
    case Type::kDict:
      return value.dict().entries.size();
    case Type::kRange:
      return value.range().length;
    default:
      return python_error("object of type '{}' has no len()", type_name(value));
  }
}

}  // namespace exo::chat::jinja
