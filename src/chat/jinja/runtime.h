#pragma once
// One rendering: its limits, its memory and the natives that live in it. Belongs to one thread.

#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_template.h"
#include "chat/jinja/value.h"

namespace exo::chat::jinja {

// Exhausted limits are sticky: makers go on returning (empty) values, and the interpreter stops at its next step
// with failure().
class Runtime {
 public:
  Runtime(const TemplateLimits& limits, std::chrono::system_clock::time_point now);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  const TemplateLimits& limits() const { return limits_; }
  std::chrono::system_clock::time_point now() const { return now_; }

  // Spends work; false once any limit is exhausted.
  bool step(uint64_t count = 1);
  // Work that touches `bytes` bytes.
  bool step_bytes(size_t bytes) { return step(1 + bytes / kBytesPerStep); }
  bool exhausted() const { return failed_; }
  std::unexpected<Error> failure() const { return std::unexpected(failure_); }
  void exhaust(std::string_view what);
  // Whether a string of `bytes` may be made: ask before building a large one.
  bool allows_string(size_t bytes);
  // Whether `bytes` more memory may be used: ask before building a large list.
  bool allows_memory(size_t bytes);
  // The native stack that nested evaluation has used is within bounds.
  bool stack_left();

  Value string(std::string text, bool markup = false);
  Value list(std::vector<Value> items) { return sequence(Type::kList, std::move(items), {}); }
  Value tuple(std::vector<Value> items) { return sequence(Type::kTuple, std::move(items), {}); }
  // Type::kList, kTuple or kView. `class_name` must be a literal.
  Value sequence(Type type, std::vector<Value> items, std::string_view class_name);
  Value iterator(std::vector<Value> items, std::string_view class_name = "generator");
  // Later entries win, at the place of the first. Keys must be hashable.
  Value dict(std::vector<std::pair<Value, Value>> entries);
  Value range(int64_t start, int64_t stop, int64_t step, size_t length);
  Value method(const Value& self, const MethodEntry& entry);
  Value undefined(std::string message);
  Value undefined_name(std::string_view name);

  template <typename T, typename... Args>
  T* native(Args&&... args) {
    auto object = std::make_unique<T>(std::forward<Args>(args)...);
    T* raw = object.get();
    charge_permanently(sizeof(T) + sizeof(void*));
    natives_.push_back(std::move(object));
    return raw;
  }
  // Memory that lives until the rendering ends.
  void charge_permanently(size_t bytes);

 private:
  static constexpr size_t kBytesPerStep = 256;

  void charge(Object& object, size_t bytes);

  TemplateLimits limits_;
  std::chrono::system_clock::time_point now_;
  uint64_t steps_ = 0;
  size_t live_bytes_ = 0;
  bool failed_ = false;
  Error failure_;
  const char* stack_base_;
  std::deque<std::unique_ptr<Native>> natives_;
};

// Text under construction, within the runtime's limits: once full it ignores what is added.
class TextWriter {
 public:
  explicit TextWriter(Runtime& runtime) : runtime_(runtime) {}
  void append(std::string_view text) {
    if (full_) return;
    if (!runtime_.step_bytes(text.size()) || !runtime_.allows_string(text_.size() + text.size())) {
      full_ = true;
      return;
    }
    text_ += text;
  }
  void append(char c) { append(std::string_view(&c, 1)); }
  bool full() const { return full_; }
  size_t size() const { return text_.size(); }
  std::string take() { return std::move(text_); }
  Runtime& runtime() { return runtime_; }

 private:
  Runtime& runtime_;
  std::string text_;
  bool full_ = false;
};

// str(value) and repr(value).
void append_str(TextWriter& out, const Value& value);
void append_repr(TextWriter& out, const Value& value);
std::string to_str(Runtime& runtime, const Value& value);
std::string to_repr(Runtime& runtime, const Value& value);
std::string repr_string(std::string_view text);
std::string repr_float(double value);

// What iter(value) would give, as a whole; an iterator is used up by it.
Result<std::vector<Value>> iterate(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);
// len(value).
Result<size_t> length_of(const Value& value);

// An error as Python's TypeError, ValueError … : the request or template is wrong.
template <typename... Args>
std::unexpected<Error> python_error(fmt::format_string<Args...> text, Args&&... args) {
  return fail(ErrorCode::kInvalidArgument, text, std::forward<Args>(args)...);
}
// Using an undefined value.
std::unexpected<Error> undefined_error(const Value& value);

// html.escape as markupsafe does it.
std::string escape_html(std::string_view text);

}  // namespace exo::chat::jinja
