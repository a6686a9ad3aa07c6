#include "chat/jinja/interpreter.h"

#include "chat/jinja/builtins.h"

namespace exo::chat::jinja {

class Interpreter::Entered {
 public:
  Entered(Interpreter& interpreter, Scope* parent)
      : interpreter_(interpreter), outer_(interpreter.scope_), scope_(interpreter.acquire_scope(parent)) {
    interpreter_.scope_ = scope_;
  }
  ~Entered() {
    interpreter_.release_scope(scope_);
    interpreter_.scope_ = outer_;
  }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

  // Fresh variables for the next iteration.
  void renew() {
    Scope* parent = scope_->parent;
    interpreter_.release_scope(scope_);
    scope_ = interpreter_.acquire_scope(parent);
    interpreter_.scope_ = scope_;
  }

 private:
  Interpreter& interpreter_;
  Scope* outer_;
  Scope* scope_;
};

Interpreter::Interpreter(const Template& source, Runtime& runtime, const boost::json::object& variables)
    : source_(source), runtime_(runtime), variables_(variables), root_(source.symbols.size()) {
  for (Symbol i = 0; i < source.symbols.size(); ++i) {
    const std::string& name = source.symbols[i];
    if (name == "loop") loop_symbol_ = i;
    if (name == "caller") caller_symbol_ = i;
    if (name == "kwargs") kwargs_symbol_ = i;
    if (name == "varargs") varargs_symbol_ = i;
  }
}

Result<std::string> Interpreter::run() {
  TextWriter out(runtime_);
  out_ = &out;
  top_ = scope_ = acquire_scope(nullptr);
  EXO_TRY(Flow flow, execute(source_.body));
  (void)flow;
  if (runtime_.exhausted()) return runtime_.failure();
  return out.take();
}

Scope* Interpreter::acquire_scope(Scope* parent) {
  Scope* scope;
  if (free_scopes_.empty()) {
    runtime_.charge_permanently(sizeof(Scope));
    scope = &scopes_.emplace_back();
  } else {
    scope = free_scopes_.back();
    free_scopes_.pop_back();
  }
  scope->parent = parent;
  return scope;
}

void Interpreter::release_scope(Scope* scope) {
  if (scope->captured) {
    runtime_.charge_permanently(scope->variables.capacity() * sizeof(scope->variables[0]));
    return;
  }
  scope->variables.clear();
  free_scopes_.push_back(scope);
}

void Interpreter::capture_scope(Scope* scope) {
  for (; scope && !scope->captured; scope = scope->parent) scope->captured = true;
}

Result<Interpreter::Flow> Interpreter::execute(const Body& body) {
  for (const Stmt& statement : body) {
    EXO_TRY(Flow flow, execute(statement));
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::execute(const Stmt& statement) {
  if (!runtime_.step() || !runtime_.stack_left()) return runtime_.failure();
  return std::visit([&](const auto& node) { return run_node(node); }, statement.node);
}

Result<Interpreter::Flow> Interpreter::run_node(const TextStmt& node) {
  out_->append(node.text);
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const OutputStmt& node) {
  EXO_TRY(Value value, evaluate(*node.value));
  append_str(*out_, value);
  if (runtime_.exhausted()) return runtime_.failure();
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const ForStmt& node) {
  EXO_TRY(Value iterable, evaluate(*node.iterable));
  EXO_CHECK_OK(run_loop(node, iterable, 0));
  return Flow::kNormal;
}

Result<std::vector<Value>> Interpreter::filter_items(const ForStmt& node, std::vector<Value> items) {
  if (!node.test) return items;
  std::vector<Value> kept;
  Entered entered(*this, scope_);
  for (Value& item : items) {
    EXO_CHECK_OK(assign(node.target, item));
    EXO_TRY(Value passes, evaluate(*node.test));
    if (truthy(passes)) kept.push_back(std::move(item));
    entered.renew();
  }
  return kept;
}

Status Interpreter::run_loop(const ForStmt& node, const Value& iterable, int64_t depth0) {
  EXO_TRY(std::vector<Value> items, iterate(runtime_, iterable));
  EXO_TRY(items, filter_items(node, std::move(items)));
  if (items.empty()) {
    Entered entered(*this, scope_);
    EXO_TRY(Flow flow, execute(node.otherwise));
    (void)flow;
    return {};
  }
  LoopContext* loop = nullptr;
  if (node.uses_loop) {
    if (node.recursive) capture_scope(scope_);
    runtime_.charge_permanently(items.size() * sizeof(Value));
    loop = runtime_.native<LoopContext>(items, depth0, node.recursive ? &node : nullptr, scope_);
  }
  Entered entered(*this, scope_);
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) entered.renew();
    if (!runtime_.step()) return runtime_.failure();
    if (loop) {
      loop->move_to(i);
      scope_->set(*loop_symbol_, Value(loop));
    }
    EXO_CHECK_OK(assign(node.target, items[i]));
    EXO_TRY(Flow flow, execute(node.body));
    if (flow == Flow::kBreak) break;
  }
  return {};
}

Result<Interpreter::Flow> Interpreter::run_node(const IfStmt& node) {
  for (const auto& [test, body] : node.branches) {
    EXO_TRY(Value passes, evaluate(*test));
    if (truthy(passes)) return execute(body);
  }
  return execute(node.otherwise);
}

Result<Interpreter::Flow> Interpreter::run_node(const SetStmt& node) {
  EXO_TRY(Value value, evaluate(*node.value));
  EXO_CHECK_OK(assign(node.target, value));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const SetBlockStmt& node) {
  EXO_TRY(std::string text, capture(node.body));
  Value value = runtime_.string(std::move(text));
  if (node.filter) {
    EXO_TRY(value, apply_block_filter(*node.filter, std::move(value)));
  }
  EXO_CHECK_OK(assign(node.target, value));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const std::unique_ptr<MacroStmt>& node) {
  capture_scope(scope_);
  scope_->set(node->name, Value(runtime_.native<Macro>(*node, source_, scope_)));
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const CallBlockStmt& node) {
  const auto& call_node = std::get<CallExpr>(node.call->node);
  EXO_TRY(Value callee, evaluate(*call_node.callee));
  EXO_TRY(Arguments arguments, evaluate_arguments(call_node.arguments));
  capture_scope(scope_);
  arguments.named.emplace_back("caller", Value(runtime_.native<Macro>(*node.caller, source_, scope_)));
  EXO_TRY(Value value, call(callee, std::move(arguments)));
  append_str(*out_, value);
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const FilterBlockStmt& node) {
  EXO_TRY(std::string text, capture(node.body));
  EXO_TRY(Value value, apply_block_filter(*node.filter, runtime_.string(std::move(text))));
  append_str(*out_, value);
  return Flow::kNormal;
}

Result<Interpreter::Flow> Interpreter::run_node(const WithStmt& node) {
  std::vector<Value> values;
  for (const auto& [target, expr] : node.assignments) {
    EXO_TRY(Value value, evaluate(*expr));
    values.push_back(std::move(value));
  }
  Entered entered(*this, scope_);
  for (size_t i = 0; i < values.size(); ++i) EXO_CHECK_OK(assign(node.assignments[i].first, values[i]));
  return execute(node.body);
}

Result<Interpreter::Flow> Interpreter::run_node(const ScopeStmt& node) {
  Entered entered(*this, node.sees_locals ? scope_ : top_);
  return execute(node.body);
}

Result<Interpreter::Flow> Interpreter::run_node(const LoopControlStmt& node) {
  return node.is_break ? Flow::kBreak : Flow::kContinue;
}

Result<std::string> Interpreter::capture(const Body& body) {
  TextWriter text(runtime_);
  TextWriter* outer = std::exchange(out_, &text);
  Entered entered(*this, scope_);
  auto flow = execute(body);
  out_ = outer;
  if (!flow) return std::unexpected(std::move(flow).error());
  return text.take();
}

Status Interpreter::assign(const Target& target, const Value& value) {
  return std::visit([&](const auto& node) { return assign_node(node, value); }, target.node);
}

Status Interpreter::assign_node(const NameTarget& target, const Value& value) {
  scope_->set(target.symbol, value);
  return {};
}

Status Interpreter::assign_node(const AttributeTarget& target, const Value& value) {
  Value object = lookup(target.object);
  auto* space = object.is(Type::kNative) ? dynamic_cast<Namespace*>(object.native()) : nullptr;
  if (!space) return python_error("cannot assign attribute on non-namespace object");
  space->set(runtime_, target.name, value);
  return {};
}

Status Interpreter::assign_node(const TupleTarget& target, const Value& value) {
  if (value.is_undefined()) return undefined_error(value);
  if (!is_iterable(value)) return python_error("cannot unpack non-iterable {} object", type_name(value));
  EXO_TRY(std::vector<Value> items, iterate(runtime_, value));
  if (items.size() < target.items.size()) {
    return python_error("not enough values to unpack (expected {}, got {})", target.items.size(), items.size());
  }
  if (items.size() > target.items.size()) {
    return python_error("too many values to unpack (expected {})", target.items.size());
  }
  for (size_t i = 0; i < items.size(); ++i) EXO_CHECK_OK(assign(target.items[i], items[i]));
  return {};
}

Value Interpreter::lookup(Symbol symbol) {
  for (const Scope* scope = scope_; scope; scope = scope->parent) {
    if (const Value* value = scope->find(symbol)) return *value;
  }
  std::optional<Value>& root = root_[symbol];
  if (!root) {
    const std::string& name = source_.symbols[symbol];
    if (auto* variable = variables_.if_contains(name)) {
      root = from_json(runtime_, *variable);
    } else if (auto global = make_global(runtime_, name)) {
      root = std::move(*global);
    } else {
      root = runtime_.undefined_name(name);
    }
  }
  return *root;
}

Value from_json(Runtime& runtime, const boost::json::value& json, int32_t depth) {
  if (depth > runtime.limits().max_depth) {
    runtime.exhaust("nesting of values");
    return {};
  }
  switch (json.kind()) {
    case boost::json::kind::null:
      return {};
    case boost::json::kind::bool_:
      return Value(json.get_bool());
    case boost::json::kind::int64:
      return Value::integer(json.get_int64());
    case boost::json::kind::uint64:
      return Value::integer(static_cast<Int>(json.get_uint64()));
    case boost::json::kind::double_:
      return Value(json.get_double());
    case boost::json::kind::string:
      return runtime.string(std::string(json.get_string()));
    case boost::json::kind::array: {
      std::vector<Value> items;
      items.reserve(json.get_array().size());
      for (const auto& item : json.get_array()) items.push_back(from_json(runtime, item, depth + 1));
      return runtime.list(std::move(items));
    }
    case boost::json::kind::object: {
      std::vector<std::pair<Value, Value>> entries;
      entries.reserve(json.get_object().size());
      for (const auto& [key, item] : json.get_object()) {
        entries.emplace_back(runtime.string(std::string(key)), from_json(runtime, item, depth + 1));
      }
      return runtime.dict(std::move(entries));
    }
  }
  return {};
}

Result<std::string> render_template(const Template& source, const TemplateLimits& limits,
                                    std::chrono::system_clock::time_point now,
                                    const boost::json::object& variables) {
  Runtime runtime(limits, now);
  return Interpreter(source, runtime, variables).run();
}

}  // namespace exo::chat::jinja
