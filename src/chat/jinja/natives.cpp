#include "chat/jinja/natives.h"

#include <algorithm>

#include "chat/jinja/strftime.h"

namespace exo::chat::jinja {
namespace {

constexpr size_t kMaxRange = 100'000;  // jinja2.sandbox.MAX_RANGE

class Cycler final : public Native {
 public:
  explicit Cycler(std::vector<Value> items) : items_(std::move(items)) {}
  std::string_view class_name() const override { return "Cycler"; }
  std::string repr(Runtime&) const override { return "<Cycler object>"; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override {
    if (name == "current") return items_[index_];
    if (name == "next") return Value(runtime.native<Function>("next", &next, this));
    if (name == "reset") return Value(runtime.native<Function>("reset", &reset, this));
    return std::nullopt;
  }

 private:
  static ValueResult next(Runtime&, Native* self, const Arguments&) {
    auto& cycler = static_cast<Cycler&>(*self);
    Value value = cycler.items_[cycler.index_];
    cycler.index_ = (cycler.index_ + 1) % cycler.items_.size();
    return value;
  }
  static ValueResult reset(Runtime&, Native* self, const Arguments&) {
    static_cast<Cycler&>(*self).index_ = 0;
    return Value();
  }

  std::vector<Value> items_;
  size_t index_ = 0;
};

// State of a joiner: the function object calls back with it.
class Joiner final : public Native {
 public:
  explicit Joiner(Value separator) : separator_(std::move(separator)) {}
  std::string_view class_name() const override { return "Joiner"; }
  std::string repr(Runtime&) const override { return "<Joiner object>"; }
  static ValueResult call(Runtime& runtime, Native* self, const Arguments&) {
    auto& joiner = static_cast<Joiner&>(*self);
    if (std::exchange(joiner.used_, true)) return joiner.separator_;
    return runtime.string({});
  }

 private:
  Value separator_;
  bool used_ = false;
};

ValueResult make_range(Runtime& runtime, Native*, const Arguments& arguments) {
  if (!arguments.named.empty()) return python_error("range() takes no keyword arguments");
  size_t count = arguments.positional.size();
  if (count < 1 || count > 3) return python_error("range expected 1 to 3 arguments, got {}", count);
  int64_t values[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    EXO_TRY(values[count == 1 ? 1 : i], to_index(arguments.positional[i]));
  }
  auto [start, stop, step] = values;
  if (step == 0) return python_error("range() arg 3 must not be zero");
  Int distance = step > 0 ? Int{stop} - start : Int{start} - stop;
  Int stride = step > 0 ? Int{step} : -Int{step};
  Int length = distance > 0 ? (distance - 1) / stride + 1 : 0;
  if (length > static_cast<Int>(kMaxRange)) {
    return fail(ErrorCode::kResourceExhausted, "Range too big. The sandbox blocks ranges larger than {}",
                kMaxRange);
  }
  return runtime.range(start, stop, step, static_cast<size_t>(length));
}

// The entries of dict(mapping or pairs, key=value…).
Result<std::vector<std::pair<Value, Value>>> dict_entries(Runtime& runtime, std::string_view function,
                                                          const Arguments& arguments) {
  std::vector<std::pair<Value, Value>> entries;
  if (arguments.positional.size() > 1) return python_error("{} expected at most 1 argument", function);
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.is(Type::kDict)) {
      entries = source.dict().entries;
    } else {
      EXO_TRY(std::vector<Value> items, iterate(runtime, source));
      for (const Value& item : items) {
        EXO_TRY(std::vector<Value> pair, iterate(runtime, item));
        if (pair.size() != 2)
          return python_error("dictionary update sequence element has length {}; 2 is required", pair.size());
        if (!is_hashable(pair[0])) return python_error("unhashable type: '{}'", type_name(pair[0]));
        entries.emplace_back(pair[0], pair[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) entries.emplace_back(runtime.string(name), value);
  return entries;
}

ValueResult make_dict(Runtime& runtime, Native*, const Arguments& arguments) {
  EXO_TRY(auto entries, dict_entries(runtime, "dict", arguments));
  return runtime.dict(std::move(entries));
}

ValueResult make_namespace(Runtime& runtime, Native*, const Arguments& arguments) {
  EXO_TRY(auto entries, dict_entries(runtime, "namespace", arguments));
  auto* result = runtime.native<Namespace>();
  for (auto& [key, value] : entries) result->set(runtime, to_str(runtime, key), std::move(value));
  return Value(result);
}

ValueResult make_cycler(Runtime& runtime, Native*, const Arguments& arguments) {
  if (arguments.positional.empty()) return python_error("at least one item has to be provided");
  runtime.charge_permanently(arguments.positional.size() * sizeof(Value));
  return Value(runtime.native<Cycler>(arguments.positional));
}

ValueResult make_joiner(Runtime& runtime, Native*, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("joiner", arguments, {"sep"}));
  auto* state = runtime.native<Joiner>(bound[0] ? *bound[0] : runtime.string(", "));
  return Value(runtime.native<Function>("joiner", &Joiner::call, state));
}

ValueResult raise_exception(Runtime& runtime, Native*, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("raise_exception", arguments, {"message"}, 1));
  return fail(ErrorCode::kInvalidArgument, "{}", to_str(runtime, *bound[0]));
}

ValueResult strftime_now(Runtime& runtime, Native*, const Arguments& arguments) {
  EXO_TRY(Bound bound, bind("strftime_now", arguments, {"format"}, 1));
  EXO_TRY(std::string_view format, to_text(*bound[0], "strftime() argument 1"));
  if (!runtime.allows_string(format.size() * kMaxStrftimeGrowth)) return runtime.failure();
  return runtime.string(format_time(format, runtime.now()));
}

ValueResult loop_cycle(Runtime&, Native* self, const Arguments& arguments) {
  return static_cast<LoopContext&>(*self).cycle(arguments);
}

ValueResult loop_changed(Runtime& runtime, Native* self, const Arguments& arguments) {
  return static_cast<LoopContext&>(*self).changed(runtime, arguments);
}

}  // namespace

void Scope::set(Symbol symbol, Value value) {
  for (auto& [own, current] : variables) {
    if (own == symbol) {
      current = std::move(value);
      return;
    }
  }
  variables.emplace_back(symbol, std::move(value));
}

const Value* Scope::find(Symbol symbol) const {
  for (const auto& [own, value] : variables) {
    if (own == symbol) return &value;
  }
  return nullptr;
}

std::string Namespace::repr(Runtime& runtime) const {
  TextWriter out(runtime);
  out.append("<Namespace {");
  bool first = true;
  for (const auto& [name, value] : attributes_) {
    if (!first) out.append(", ");
    first = false;
    out.append(repr_string(name));
    out.append(": ");
    append_repr(out, value);
  }
  out.append("}>");
  return out.take();
}

std::optional<Value> Namespace::attribute(Runtime& runtime, std::string_view name) {
  runtime.step(1 + attributes_.size() / 16);
  for (const auto& [own, value] : attributes_) {
    if (own == name) return value;
  }
  return std::nullopt;
}

void Namespace::set(Runtime& runtime, std::string_view name, Value value) {
  runtime.step(1 + attributes_.size() / 16);
  for (auto& [own, current] : attributes_) {
    if (own == name) {
      current = std::move(value);
      return;
    }
  }
  runtime.charge_permanently(sizeof(attributes_[0]) + name.size());
  attributes_.emplace_back(name, std::move(value));
}

std::string Macro::repr(Runtime&) const {
  return statement.anonymous ? "<Macro anonymous>" : fmt::format("<Macro {}>", repr_string(name()));
}

std::optional<Value> Macro::attribute(Runtime& runtime, std::string_view name_wanted) {
  if (name_wanted == "name") return statement.anonymous ? Value() : runtime.string(name());
  if (name_wanted == "catch_kwargs") return Value(statement.uses_kwargs);
  if (name_wanted == "catch_varargs") return Value(statement.uses_varargs);
  if (name_wanted == "caller") return Value(statement.uses_caller);
  if (name_wanted != "arguments") return std::nullopt;
  std::vector<Value> names;
  for (Symbol parameter : statement.signature.parameters)
    names.push_back(runtime.string(source_.symbols[parameter]));
  return runtime.tuple(std::move(names));
}

std::string LoopContext::repr(Runtime&) const {
  return fmt::format("<LoopContext {}/{}>", index_ + 1, items_.size());
}

std::optional<Value> LoopContext::attribute(Runtime& runtime, std::string_view name) {
  auto number = [](size_t value) { return Value::integer(static_cast<Int>(value)); };
  size_t left = items_.size() - index_;
  if (name == "index") return number(index_ + 1);
  if (name == "index0") return number(index_);
  if (name == "revindex") return number(left);
  if (name == "revindex0") return number(left - 1);
  if (name == "first") return Value(index_ == 0);
  if (name == "last") return Value(left <= 1);
  if (name == "length") return number(items_.size());
  if (name == "depth") return Value::integer(depth0 + 1);
  if (name == "depth0") return Value::integer(depth0);
  if (name == "previtem") return index_ == 0 ? runtime.undefined("there is no previous item") : items_[index_ - 1];
  if (name == "nextitem") return left <= 1 ? runtime.undefined("there is no next item") : items_[index_ + 1];
  if (name == "cycle") return Value(runtime.native<Function>("cycle", &loop_cycle, this));
  if (name == "changed") return Value(runtime.native<Function>("changed", &loop_changed, this));
  return std::nullopt;
}

ValueResult LoopContext::cycle(const Arguments& arguments) const {
  if (arguments.positional.empty()) return python_error("no items for cycling given");
  return arguments.positional[index_ % arguments.positional.size()];
}

ValueResult LoopContext::changed(Runtime& runtime, const Arguments& arguments) {
  Value current = runtime.tuple(arguments.positional);
  if (last_changed_ && equal(runtime, *last_changed_, current)) return Value(false);
  last_changed_ = std::move(current);
  return Value(true);
}

std::optional<Value> make_global(Runtime& runtime, std::string_view name) {
  struct Entry {
    std::string_view name;
    Function::Body body;
  };
  static constexpr Entry kGlobals[] = {{"range", &make_range},         {"dict", &make_dict},
                                       {"namespace", &make_namespace}, {"cycler", &make_cycler},
                                       {"joiner", &make_joiner},       {"raise_exception", &raise_exception},
                                       {"strftime_now", &strftime_now}};
  for (const Entry& entry : kGlobals) {
    if (entry.name == name) return Value(runtime.native<Function>(entry.name, entry.body));
  }
  return std::nullopt;
}

}  // namespace exo::chat::jinja
