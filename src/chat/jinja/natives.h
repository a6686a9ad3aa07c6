#pragma once
// The objects with identity: namespace, macro, loop, cycler, joiner, global functions.

#include <span>

#include "chat/jinja/access.h"
#include "chat/jinja/ast.h"

namespace exo::chat::jinja {

// Variables of one block of statements. Belongs to the interpreter's pool.
struct Scope {
  Scope* parent = nullptr;
  std::vector<std::pair<Symbol, Value>> variables;
  bool captured = false;  // a macro or loop refers to it: must not be used again

  void set(Symbol symbol, Value value);
  const Value* find(Symbol symbol) const;
};

class Namespace final : public Native {
 public:
  std::string_view class_name() const override { return "Namespace"; }
  std::string repr(Runtime& runtime) const override;
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  void set(Runtime& runtime, std::string_view name, Value value);

 private:
  std::vector<std::pair<std::string, Value>> attributes_;
};

class Macro final : public Native {
 public:
  Macro(const MacroStmt& body, const Template& source, Scope* defined_in)
      : statement(body), scope(defined_in), source_(source) {}
  std::string_view class_name() const override { return "Macro"; }
  std::string repr(Runtime& runtime) const override;
  bool callable() const override { return true; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;
  const std::string& name() const { return source_.symbols[statement.name]; }

  const MacroStmt& statement;
  Scope* const scope;  // where it was defined

 private:
  const Template& source_;
};

// `loop`.
class LoopContext final : public Native {
 public:
  LoopContext(std::vector<Value> items, int64_t loops_around, const ForStmt* body, Scope* runs_in)
      : recursive(body), scope(runs_in), depth0(loops_around), items_(std::move(items)) {}
  std::string_view class_name() const override { return "LoopContext"; }
  std::string repr(Runtime& runtime) const override;
  bool callable() const override { return true; }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override;

  size_t size() const { return items_.size(); }
  const Value& item(size_t i) const { return items_[i]; }
  void move_to(size_t index) { index_ = index; }

  ValueResult cycle(const Arguments& arguments) const;
  ValueResult changed(Runtime& runtime, const Arguments& arguments);

  const ForStmt* const recursive;  // null: the loop is not recursive
  Scope* const scope;
  const int64_t depth0;

 private:
  std::vector<Value> items_;
  size_t index_ = 0;
  std::optional<Value> last_changed_;
};

// A function without access to the interpreter.
class Function final : public Native {
 public:
  using Body = ValueResult (*)(Runtime& runtime, Native* self, const Arguments& arguments);
  Function(std::string_view name, Body body, Native* self = nullptr) : name_(name), body_(body), self_(self) {}
  std::string_view class_name() const override { return "function"; }
  std::string repr(Runtime&) const override { return fmt::format("<function {}>", name_); }
  bool callable() const override { return true; }
  ValueResult call(Runtime& runtime, const Arguments& arguments) const { return body_(runtime, self_, arguments); }

 private:
  std::string_view name_;
  Body body_;
  Native* self_;
};

// range, dict, namespace, cycler, joiner, raise_exception, strftime_now; nullopt for other names.
std::optional<Value> make_global(Runtime& runtime, std::string_view name);

}  // namespace exo::chat::jinja
