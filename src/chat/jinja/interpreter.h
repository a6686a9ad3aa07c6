#pragma once
// Walks the syntax tree: one rendering.

#include <boost/json/object.hpp>
#include <memory>

#include "chat/jinja/natives.h"

namespace exo::chat::jinja {

// Renders `source` with `variables`. `globals` of the engine are found behind them.
Result<std::string> render_template(const Template& source, const TemplateLimits& limits,
                                    std::chrono::system_clock::time_point now,
                                    const boost::json::object& variables);

class Interpreter {
 public:
  Interpreter(const Template& source, Runtime& runtime, const boost::json::object& variables);
  Result<std::string> run();

 private:
  enum class Flow { kNormal, kBreak, kContinue };

  // Statements: text goes to out_, variables to scope_.
  Result<Flow> execute(const Body& body);
  Result<Flow> execute(const Stmt& statement);
  Result<Flow> run_node(const TextStmt& node);
  Result<Flow> run_node(const OutputStmt& node);
  Result<Flow> run_node(const ForStmt& node);
  Result<Flow> run_node(const IfStmt& node);
  Result<Flow> run_node(const SetStmt& node);
  Result<Flow> run_node(const SetBlockStmt& node);
  Result<Flow> run_node(const std::unique_ptr<MacroStmt>& node);
  Result<Flow> run_node(const CallBlockStmt& node);
  Result<Flow> run_node(const FilterBlockStmt& node);
  Result<Flow> run_node(const WithStmt& node);
  Result<Flow> run_node(const ScopeStmt& node);
  Result<Flow> run_node(const LoopControlStmt& node);

  Status run_loop(const ForStmt& node, const Value& iterable, int64_t depth0);
  Result<std::vector<Value>> filter_items(const ForStmt& node, std::vector<Value> items);
  // The text that `body` writes, with variables of its own.
  Result<std::string> capture(const Body& body);
  Status assign(const Target& target, const Value& value);
  Status assign_node(const NameTarget& target, const Value& value);
  Status assign_node(const AttributeTarget& target, const Value& value);
  Status assign_node(const TupleTarget& target, const Value& value);

  // Expressions.
  ValueResult evaluate(const Expr& expr);
  ValueResult evaluate_or_none(const ExprPtr& expr);
  ValueResult value_of(const ConstExpr& node);
  ValueResult value_of(const NameExpr& node);
  ValueResult value_of(const SequenceExpr& node);
  ValueResult value_of(const DictExpr& node);
  ValueResult value_of(const UnaryExpr& node);
  ValueResult value_of(const BinaryExpr& node);
  ValueResult value_of(const LogicExpr& node);
  ValueResult value_of(const CompareExpr& node);
  ValueResult value_of(const ConcatExpr& node);
  ValueResult value_of(const ConditionExpr& node);
  ValueResult value_of(const AttributeExpr& node);
  ValueResult value_of(const ItemExpr& node);
  ValueResult value_of(const SliceExpr& node);
  ValueResult value_of(const CallExpr& node);
  ValueResult value_of(const FilterExpr& node);
  ValueResult value_of(const TestExpr& node);
  Result<Arguments> evaluate_arguments(const CallArguments& arguments);
  ValueResult call(const Value& callee, Arguments arguments);
  ValueResult call_macro(const Macro& macro, Arguments arguments);
  Status bind_macro_arguments(const Macro& macro, Arguments& arguments);
  Status bind_parameters(const Macro& macro, Arguments& arguments);
  Status bind_extra_arguments(const Macro& macro, Arguments& arguments);
  ValueResult call_loop(LoopContext& loop, const Arguments& arguments);
  ValueResult apply_block_filter(const Expr& filter, Value text);
  Value lookup(Symbol symbol);

  // A scope for its lifetime, back to the pool afterwards unless captured.
  class Entered;
  Scope* acquire_scope(Scope* parent);
  void release_scope(Scope* scope);
  static void capture_scope(Scope* scope);

  const Template& source_;
  Runtime& runtime_;
  const boost::json::object& variables_;
  std::vector<std::optional<Value>> root_;  // variables and globals, made when first read
  std::deque<Scope> scopes_;
  std::vector<Scope*> free_scopes_;
  Scope* scope_ = nullptr;
  Scope* top_ = nullptr;
  TextWriter* out_ = nullptr;
  const Value* block_text_ = nullptr;  // what an operand-less filter applies to
  int32_t call_depth_ = 0;
  std::optional<Symbol> loop_symbol_, caller_symbol_, kwargs_symbol_, varargs_symbol_;
};

// Input data → values; lists and objects nested too deeply exhaust the runtime.
Value from_json(Runtime& runtime, const boost::json::value& json, int32_t depth = 0);

}  // namespace exo::chat::jinja
