#pragma once
// The values of a running template, with the meaning Python gives them. Immutable, but for the natives (namespace,
// loop, macro …), which belong to the Runtime of one rendering.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.h"

namespace exo::chat::jinja {

__extension__ using Int = __int128;  // Python's integers within ±2^127; beyond is refused

enum class Type : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kRange,
  kView,      // dict.keys(), .values(), .items()
  kIterator,  // what lazy filters give: read once, front to back
  kMethod,    // a method bound to its object
  kNative,    // macro, namespace, loop, global function …
};

class Value;
class Runtime;
class Native;
struct MethodEntry;

// What every shared object carries: its part of the rendering's memory, given back when it dies.
struct Object {
  Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;
  virtual ~Object() {
    if (live_bytes) *live_bytes -= charged_bytes;
  }
  size_t* live_bytes = nullptr;
  size_t charged_bytes = 0;
  int32_t depth = 0;  // nesting of containers below
};

struct StringObject final : Object {
  std::string text;
  size_t length = 0;    // code points
  bool markup = false;  // markupsafe.Markup: made by `safe` and `escape`
};

struct ListObject final : Object {
  std::vector<Value> items;
  std::string_view class_name;  // views: "dict_items" …; tuples: "group" when .grouper and .list name the items
};

struct DictObject;

struct RangeObject final : Object {
  int64_t start = 0, stop = 0, step = 1;
  size_t length = 0;
};

struct IteratorObject final : Object {
  std::vector<Value> items;
  mutable size_t next = 0;
  std::string_view class_name;
};

struct UndefinedObject final : Object {
  std::string message;  // what using it will say
};

struct MethodObject;

class Value {
 public:
  Value() = default;  // None
  Value(bool boolean) : type_(Type::kBool) { data_.boolean = boolean; }
  Value(double real) : type_(Type::kFloat) { data_.real = real; }
  Value(Int integer) : type_(Type::kInt) { data_.integer = integer; }
  Value(Native* native) : type_(Type::kNative) { data_.native = native; }
  template <typename T>
  requires(!std::is_convertible_v<T*, Native*>) Value(T*)
  = delete;  // would become a bool
  Value(Type type, std::shared_ptr<const Object> object) : type_(type), object_(std::move(object)) {}
  static Value integer(Int value) { return Value(value); }

  Type type() const { return type_; }
  bool is(Type type) const { return type_ == type; }
  bool is_undefined() const { return type_ == Type::kUndefined; }
  bool is_none() const { return type_ == Type::kNone; }
  bool is_string() const { return type_ == Type::kString; }
  bool is_sequence() const { return type_ == Type::kList || type_ == Type::kTuple; }
  bool is_integral() const { return type_ == Type::kInt || type_ == Type::kBool; }  // bool is an int in Python
  bool is_number() const { return is_integral() || type_ == Type::kFloat; }
  bool is_markup() const { return is_string() && string_object().markup; }

  bool boolean() const { return data_.boolean; }
  Int integer() const { return type_ == Type::kBool ? Int{data_.boolean} : data_.integer; }
  double real() const { return type_ == Type::kFloat ? data_.real : static_cast<double>(integer()); }
  Native* native() const { return data_.native; }
  const std::string& string() const { return string_object().text; }
  const StringObject& string_object() const { return as<StringObject>(); }
  const std::vector<Value>& items() const { return as<ListObject>().items; }  // list, tuple, view
  const ListObject& list_object() const { return as<ListObject>(); }
  const DictObject& dict() const;
  const RangeObject& range() const { return as<RangeObject>(); }
  const IteratorObject& iterator() const { return as<IteratorObject>(); }
  const MethodObject& method() const;
  const std::string& undefined_message() const { return as<UndefinedObject>().message; }

  const Object* object() const { return object_.get(); }
  int32_t depth() const { return object_ ? object_->depth : 0; }

 private:
  template <typename T>
  const T& as() const {
    return static_cast<const T&>(*object_);
  }

  Type type_ = Type::kNone;
  union {
    bool boolean;
    double real;
    Int integer;
    Native* native;
  } data_ = {.integer = 0};
  std::shared_ptr<const Object> object_;
};

// Keeps the order of first insertion; keys compare as in Python (1 == 1.0 == True).
struct DictObject final : Object {
  std::vector<std::pair<Value, Value>> entries;
  std::vector<std::pair<uint64_t, uint32_t>> index;  // (hash, entry), sorted; empty while the dict is small

  // nullptr when absent. `key` must be hashable.
  const Value* find(Runtime& runtime, const Value& key) const;
  const Value* find(std::string_view key) const;
};

struct MethodObject final : Object {
  Value self;
  const MethodEntry* entry = nullptr;
};

inline const DictObject& Value::dict() const { return as<DictObject>(); }
inline const MethodObject& Value::method() const { return as<MethodObject>(); }

// Positional and named arguments of one call.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

// A mutable or callable thing that the Runtime of one rendering owns.
class Native {
 public:
  virtual ~Native() = default;
  virtual std::string_view class_name() const = 0;
  virtual std::string repr(Runtime& runtime) const = 0;
  virtual bool callable() const { return false; }
  // An attribute of the Python object; nullopt when it has none of that name.
  virtual std::optional<Value> attribute(Runtime&, std::string_view) { return std::nullopt; }
};

// A string that belongs to no rendering: for the syntax tree.
Value constant_string(std::string text);

// type(value).__name__, for messages.
std::string_view type_name(const Value& value);

bool is_hashable(const Value& value);
uint64_t hash_value(const Value& value);
uint64_t hash_string(std::string_view text);

bool truthy(const Value& value);
// Python's ==. Counts steps: shared sub-values could otherwise make it exponential.
bool equal(Runtime& runtime, const Value& a, const Value& b);
// Python's < on a and b: negative, zero, positive; an error for types without order.
// Floats that are not numbers give kUnordered.
inline constexpr int kUnordered = 2;
Result<int> compare(Runtime& runtime, const Value& a, const Value& b, std::string_view operator_name);

}  // namespace exo::chat::jinja
