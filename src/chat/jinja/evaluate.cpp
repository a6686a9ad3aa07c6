// Expressions and calls.
#include <algorithm>

#include "chat/jinja/builtins.h"
#include "chat/jinja/interpreter.h"
#include "chat/jinja/operators.h"

namespace exo::chat::jinja {

ValueResult Interpreter::evaluate(const Expr& expr) {
  if (!runtime_.step() || !runtime_.stack_left()) return runtime_.failure();
  return std::visit([&](const auto& node) { return value_of(node); }, expr.node);
}

ValueResult Interpreter::evaluate_or_none(const ExprPtr& expr) {
  if (!expr) return Value();
  return evaluate(*expr);
}

ValueResult Interpreter::value_of(const ConstExpr& node) { return node.value; }

ValueResult Interpreter::value_of(const NameExpr& node) { return lookup(node.symbol); }

ValueResult Interpreter::value_of(const SequenceExpr& node) {
  std::vector<Value> items;
  items.reserve(node.items.size());
  for (const ExprPtr& item : node.items) {
    EXO_TRY(Value value, evaluate(*item));
    items.push_back(std::move(value));
  }
  return node.is_tuple ? runtime_.tuple(std::move(items)) : runtime_.list(std::move(items));
}

ValueResult Interpreter::value_of(const DictExpr& node) {
  std::vector<std::pair<Value, Value>> entries;
  entries.reserve(node.entries.size());
  for (const auto& [key_expr, value_expr] : node.entries) {
    EXO_TRY(Value key, evaluate(*key_expr));
    if (!is_hashable(key)) return python_error("unhashable type: '{}'", type_name(key));
    EXO_TRY(Value value, evaluate(*value_expr));
    entries.emplace_back(std::move(key), std::move(value));
  }
  return runtime_.dict(std::move(entries));
}

ValueResult Interpreter::value_of(const UnaryExpr& node) {
  EXO_TRY(Value operand, evaluate(*node.operand));
  return apply_unary(runtime_, node.op, operand);
}

ValueResult Interpreter::value_of(const BinaryExpr& node) {
  EXO_TRY(Value left, evaluate(*node.left));
  EXO_TRY(Value right, evaluate(*node.right));
  return apply_binary(runtime_, node.op, left, right);
}

ValueResult Interpreter::value_of(const LogicExpr& node) {
  EXO_TRY(Value left, evaluate(*node.left));
  if (truthy(left) != node.is_and) return left;
  return evaluate(*node.right);
}

ValueResult Interpreter::value_of(const CompareExpr& node) {
  EXO_TRY(Value left, evaluate(*node.first));
  for (const auto& [op, expr] : node.rest) {
    EXO_TRY(Value right, evaluate(*expr));
    EXO_TRY(bool holds, apply_compare(runtime_, op, left, right));
    if (!holds) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

ValueResult Interpreter::value_of(const ConcatExpr& node) {
  TextWriter text(runtime_);
  for (const ExprPtr& part : node.parts) {
    EXO_TRY(Value value, evaluate(*part));
    append_str(text, value);
  }
  return runtime_.string(text.take());
}

ValueResult Interpreter::value_of(const ConditionExpr& node) {
  EXO_TRY(Value passes, evaluate(*node.test));
  if (truthy(passes)) return evaluate(*node.then);
  if (node.otherwise) return evaluate(*node.otherwise);
  return runtime_.undefined("the inline if-expression evaluated to false and no else section was defined.");
}

ValueResult Interpreter::value_of(const AttributeExpr& node) {
  EXO_TRY(Value object, evaluate(*node.object));
  return get_attribute(runtime_, object, node.name);
}

ValueResult Interpreter::value_of(const ItemExpr& node) {
  EXO_TRY(Value object, evaluate(*node.object));
  if (const auto* slice = std::get_if<SliceExpr>(&node.key->node)) {
    EXO_TRY(Value start, evaluate_or_none(slice->start));
    EXO_TRY(Value stop, evaluate_or_none(slice->stop));
    EXO_TRY(Value step, evaluate_or_none(slice->step));
    return get_slice(runtime_, object, start, stop, step);
  }
  EXO_TRY(Value key, evaluate(*node.key));
  return get_item(runtime_, object, key);
}

ValueResult Interpreter::value_of(const SliceExpr&) {
  return python_error("a slice cannot be part of a tuple of indices");
}

ValueResult Interpreter::value_of(const CallExpr& node) {
  EXO_TRY(Value callee, evaluate(*node.callee));
  EXO_TRY(Arguments arguments, evaluate_arguments(node.arguments));
  return call(callee, std::move(arguments));
}

ValueResult Interpreter::value_of(const FilterExpr& node) {
  Value operand;
  if (node.operand) {
    EXO_TRY(operand, evaluate(*node.operand));
  } else if (block_text_) {
    operand = *block_text_;
  }
  const FilterEntry* filter = find_filter(node.name);
  if (!filter) return python_error("No filter named '{}' found.", node.name);
  EXO_TRY(Arguments arguments, evaluate_arguments(node.arguments));
  return filter->apply(runtime_, operand, arguments);
}

ValueResult Interpreter::value_of(const TestExpr& node) {
  EXO_TRY(Value operand, evaluate(*node.operand));
  const TestEntry* test = find_test(node.name);
  if (!test) return python_error("No test named '{}' found.", node.name);
  EXO_TRY(Arguments arguments, evaluate_arguments(node.arguments));
  EXO_TRY(bool passes, test->apply(runtime_, operand, arguments));
  return Value(passes);
}

ValueResult Interpreter::apply_block_filter(const Expr& filter, Value text) {
  const Value* outer = std::exchange(block_text_, &text);
  auto result = evaluate(filter);
  block_text_ = outer;
  return result;
}

Result<Arguments> Interpreter::evaluate_arguments(const CallArguments& arguments) {
  Arguments result;
  result.positional.reserve(arguments.positional.size());
  for (const ExprPtr& expr : arguments.positional) {
    EXO_TRY(Value value, evaluate(*expr));
    result.positional.push_back(std::move(value));
  }
  if (arguments.star) {
    EXO_TRY(Value star, evaluate(*arguments.star));
    EXO_TRY(std::vector<Value> items, iterate(runtime_, star));
    result.positional.insert(result.positional.end(), items.begin(), items.end());
  }
  for (const auto& [name, expr] : arguments.named) {
    EXO_TRY(Value value, evaluate(*expr));
    result.named.emplace_back(name, std::move(value));
  }
  if (arguments.double_star) {
    EXO_TRY(Value mapping, evaluate(*arguments.double_star));
    if (!mapping.is(Type::kDict))
      return python_error("argument after ** must be a mapping, not {}", type_name(mapping));
    for (const auto& [key, value] : mapping.dict().entries) {
      if (!key.is_string()) return python_error("keywords must be strings");
      result.named.emplace_back(key.string(), value);
    }
  }
  for (size_t i = 0; i < result.named.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!runtime_.step()) return runtime_.failure();
      if (result.named[i].first == result.named[j].first) {
        return python_error("got multiple values for keyword argument '{}'", result.named[i].first);
      }
    }
  }
  return result;
}

ValueResult Interpreter::call(const Value& callee, Arguments arguments) {
  if (callee.is_undefined()) return undefined_error(callee);
  if (callee.is(Type::kMethod)) return callee.method().entry->call(runtime_, callee.method().self, arguments);
  if (callee.is(Type::kNative)) {
    Native* native = callee.native();
    if (auto* function = dynamic_cast<Function*>(native)) return function->call(runtime_, arguments);
    if (auto* macro = dynamic_cast<Macro*>(native)) return call_macro(*macro, std::move(arguments));
    if (auto* loop = dynamic_cast<LoopContext*>(native)) return call_loop(*loop, arguments);
  }
  return python_error("'{}' object is not callable", type_name(callee));
}

ValueResult Interpreter::call_macro(const Macro& macro, Arguments arguments) {
  if (++call_depth_ > runtime_.limits().max_depth) runtime_.exhaust("nesting of macro calls");
  Scope* caller_scope = std::exchange(scope_, macro.scope);
  auto result = [&]() -> ValueResult {
    if (runtime_.exhausted()) return runtime_.failure();
    Scope* own = acquire_scope(macro.scope);
    scope_ = own;
    Status bound = bind_macro_arguments(macro, arguments);
    auto text =
        bound ? capture(macro.statement.body) : Result<std::string>(std::unexpected(std::move(bound).error()));
    release_scope(own);
    if (!text) return std::unexpected(std::move(text).error());
    return runtime_.string(std::move(*text));
  }();
  scope_ = caller_scope;
  --call_depth_;
  return result;
}

Status Interpreter::bind_macro_arguments(const Macro& macro, Arguments& arguments) {
  EXO_CHECK_OK(bind_parameters(macro, arguments));
  return bind_extra_arguments(macro, arguments);
}

// Named arguments that a parameter takes leave `arguments`.
Status Interpreter::bind_parameters(const Macro& macro, Arguments& arguments) {
  const Signature& signature = macro.statement.signature;
  size_t count = signature.parameters.size(), first_default = count - signature.defaults.size();
  std::vector<std::optional<Value>> values(count);
  for (size_t i = 0; i < count; ++i) {
    if (i < arguments.positional.size()) {
      values[i] = arguments.positional[i];
      continue;
    }
    const std::string& name = source_.symbols[signature.parameters[i]];
    auto named = std::find_if(arguments.named.begin(), arguments.named.end(),
                              [&](auto& entry) { return entry.first == name; });
    if (named == arguments.named.end()) continue;
    values[i] = std::move(named->second);
    arguments.named.erase(named);
  }
  for (size_t i = 0; i < count; ++i) {
    Value value;
    if (values[i]) {
      value = std::move(*values[i]);
    } else if (i >= first_default) {
      EXO_TRY(value, evaluate(*signature.defaults[i - first_default]));
    } else {
      value = runtime_.undefined(
          fmt::format("parameter '{}' was not provided", source_.symbols[signature.parameters[i]]));
    }
    scope_->set(signature.parameters[i], std::move(value));
  }
  return {};
}

Status Interpreter::bind_extra_arguments(const Macro& macro, Arguments& arguments) {
  const MacroStmt& statement = macro.statement;
  const auto& parameters = statement.signature.parameters;
  bool names_caller =
      caller_symbol_ && std::find(parameters.begin(), parameters.end(), *caller_symbol_) != parameters.end();
  if (statement.uses_caller && !names_caller) {
    auto is_caller = [](const auto& entry) { return entry.first == "caller"; };
    auto caller = std::find_if(arguments.named.begin(), arguments.named.end(), is_caller);
    bool given = caller != arguments.named.end() && !caller->second.is_none();
    scope_->set(*caller_symbol_, given ? caller->second : runtime_.undefined("No caller defined"));
    if (caller != arguments.named.end()) arguments.named.erase(caller);
  }
  if (statement.uses_kwargs) {
    std::vector<std::pair<Value, Value>> entries;
    for (auto& [name, value] : arguments.named) entries.emplace_back(runtime_.string(name), value);
    scope_->set(*kwargs_symbol_, runtime_.dict(std::move(entries)));
  } else if (!arguments.named.empty()) {
    return python_error("macro '{}' takes no keyword argument '{}'", macro.name(), arguments.named[0].first);
  }
  size_t taken = std::min(parameters.size(), arguments.positional.size());
  if (statement.uses_varargs) {
    std::vector<Value> rest(arguments.positional.begin() + static_cast<std::ptrdiff_t>(taken),
                            arguments.positional.end());
    scope_->set(*varargs_symbol_, runtime_.tuple(std::move(rest)));
  } else if (arguments.positional.size() > parameters.size()) {
    return python_error("macro '{}' takes not more than {} argument(s)", macro.name(), parameters.size());
  }
  return {};
}

ValueResult Interpreter::call_loop(LoopContext& loop, const Arguments& arguments) {
  if (!loop.recursive) return python_error("The loop must have the 'recursive' marker to be called recursively.");
  EXO_TRY(Bound bound, bind("loop", arguments, {"iterable"}, 1));
  if (++call_depth_ > runtime_.limits().max_depth) {
    runtime_.exhaust("nesting of loops");
    return runtime_.failure();
  }
  TextWriter text(runtime_);
  TextWriter* outer_out = std::exchange(out_, &text);
  Scope* outer_scope = std::exchange(scope_, loop.scope);
  Status done = run_loop(*loop.recursive, *bound[0], loop.depth0 + 1);
  scope_ = outer_scope;
  out_ = outer_out;
  --call_depth_;
  if (!done) return std::unexpected(std::move(done).error());
  return runtime_.string(text.take());
}

}  // namespace exo::chat::jinja
