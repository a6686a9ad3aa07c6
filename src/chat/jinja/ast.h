#pragma once
// The syntax tree of a template. Immutable after parsing; shared by all renderings.

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "chat/jinja/value.h"

namespace exo::chat::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Body = std::vector<Stmt>;
using Symbol = uint32_t;  // index into Template::symbols

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star, double_star;  // *args and **kwargs; null when absent
};

enum class UnaryOp : uint8_t { kMinus, kPlus, kNot };
enum class BinaryOp : uint8_t { kAdd, kSubtract, kMultiply, kDivide, kFloorDivide, kModulo, kPower };
enum class CompareOp : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct ConstExpr {
  Value value;
};
struct NameExpr {
  Symbol symbol;
};
struct SequenceExpr {
  bool is_tuple;
  std::vector<ExprPtr> items;
};
struct DictExpr {
  std::vector<std::pair<ExprPtr, ExprPtr>> entries;
};
struct UnaryExpr {
  UnaryOp op;
  ExprPtr operand;
};
struct BinaryExpr {
  BinaryOp op;
  ExprPtr left, right;
};
struct LogicExpr {
  bool is_and;
  ExprPtr left, right;
};
struct CompareExpr {
  ExprPtr first;
  std::vector<std::pair<CompareOp, ExprPtr>> rest;
};
struct ConcatExpr {
  std::vector<ExprPtr> parts;
};
struct ConditionExpr {
  ExprPtr test, then, otherwise;  // otherwise may be null
};
struct AttributeExpr {
  ExprPtr object;
  std::string name;
};
struct ItemExpr {
  ExprPtr object, key;
};
struct SliceExpr {
  ExprPtr start, stop, step;  // each may be null
};
struct CallExpr {
  ExprPtr callee;
  CallArguments arguments;
};
struct FilterExpr {
  ExprPtr operand;  // null: the text of the block that the filter applies to
  std::string name;
  CallArguments arguments;
};
struct TestExpr {
  ExprPtr operand;
  std::string name;
  CallArguments arguments;
};

struct Expr {
  std::variant<ConstExpr, NameExpr, SequenceExpr, DictExpr, UnaryExpr, BinaryExpr, LogicExpr, CompareExpr,
               ConcatExpr, ConditionExpr, AttributeExpr, ItemExpr, SliceExpr, CallExpr, FilterExpr, TestExpr>
      node;
  int32_t line = 1;
  int32_t height = 1;  // of the tree: bounds the recursion of evaluation and destruction
};

// What an assignment, a loop or a macro's parameter list writes to.
struct NameTarget {
  Symbol symbol;
};
struct AttributeTarget {  // of a namespace
  Symbol object;
  std::string name;
};
struct Target;
struct TupleTarget {
  std::vector<Target> items;
};
struct Target {
  std::variant<NameTarget, AttributeTarget, TupleTarget> node;
};

struct Signature {
  std::vector<Symbol> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
};

struct TextStmt {
  std::string text;
};
struct OutputStmt {
  ExprPtr value;
};
struct ForStmt {
  Target target;
  ExprPtr iterable, test;  // test may be null
  bool recursive = false;
  bool uses_loop = false;
  Body body, otherwise;
};
struct IfStmt {
  std::vector<std::pair<ExprPtr, Body>> branches;
  Body otherwise;
};
struct SetStmt {
  Target target;
  ExprPtr value;
};
struct SetBlockStmt {
  Target target;
  ExprPtr filter;  // may be null
  Body body;
};
// A macro, or the body of a call block as its `caller`.
struct MacroStmt {
  Symbol name = 0;
  bool anonymous = false;
  Signature signature;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
  Body body;
};
struct CallBlockStmt {
  ExprPtr call;  // holds a CallExpr
  std::unique_ptr<MacroStmt> caller;
};
struct FilterBlockStmt {
  ExprPtr filter;
  Body body;
};
struct WithStmt {
  std::vector<std::pair<Target, ExprPtr>> assignments;
  Body body;
};
// Statements with their own variables: blocks, generation marks.
struct ScopeStmt {
  bool sees_locals = true;  // else only what the top level set
  Body body;
};
struct LoopControlStmt {
  bool is_break;
};

struct Stmt {
  std::variant<TextStmt, OutputStmt, ForStmt, IfStmt, SetStmt, SetBlockStmt, std::unique_ptr<MacroStmt>,
               CallBlockStmt, FilterBlockStmt, WithStmt, ScopeStmt, LoopControlStmt>
      node;
  int32_t line = 1;
};

struct Template {
  Body body;
  std::vector<std::string> symbols;
};

}  // namespace exo::chat::jinja
