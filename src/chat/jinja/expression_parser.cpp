#include <algorithm>
#include <array>
#include <optional>

#include "chat/jinja/parser_base.h"

namespace exo::chat::jinja {
namespace {

constexpr size_t kMaxStackBytes = 320 << 10;
constexpr int32_t kHeightPerDepth = 3;  // chains (a + b + c …) are higher than they are nested

enum Level { kOr = 0, kAnd, kNot, kCompare, kAdd, kConcat, kMultiply, kPower };

struct OperatorInfo {
  std::string_view name;
  Level level;
  BinaryOp op;
};
constexpr std::array<OperatorInfo, 7> kBinaryOperators = {{{"+", kAdd, BinaryOp::kAdd},
                                                           {"-", kAdd, BinaryOp::kSubtract},
                                                           {"*", kMultiply, BinaryOp::kMultiply},
                                                           {"/", kMultiply, BinaryOp::kDivide},
                                                           {"//", kMultiply, BinaryOp::kFloorDivide},
                                                           {"%", kMultiply, BinaryOp::kModulo},
                                                           {"**", kPower, BinaryOp::kPower}}};

const OperatorInfo* find_binary(const Token& token) {
  if (!token.is(TokenType::kOperator)) return nullptr;
  for (const OperatorInfo& info : kBinaryOperators) {
    if (info.name == token.text) return &info;
  }
  return nullptr;
}

std::optional<CompareOp> find_compare(const Token& token, const Token& look) {
  if (token.is_name("in")) return CompareOp::kIn;
  if (token.is_name("not") && look.is_name("in")) return CompareOp::kNotIn;
  if (!token.is(TokenType::kOperator)) return std::nullopt;
  constexpr std::array<std::string_view, 6> kNames = {"==", "!=", "<", "<=", ">", ">="};
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (token.text == kNames[i]) return static_cast<CompareOp>(i);
  }
  return std::nullopt;
}

int32_t height_of(const ExprPtr& expr) { return expr ? expr->height : 0; }

}  // namespace

Status ParserBase::check_nesting() const {
  auto* here = static_cast<const char*>(__builtin_frame_address(0));
  size_t used = here < stack_base_ ? stack_base_ - here : here - stack_base_;
  if (depth_ > max_depth_ || used > kMaxStackBytes) return error("nested too deeply");
  return {};
}

Result<ExprPtr> ParserBase::make(decltype(Expr::node) node, int32_t line, int32_t height) {
  if (height > max_depth_ * kHeightPerDepth) return error("the expression is too long or nested too deeply");
  auto expr = std::make_unique<Expr>();
  expr->node = std::move(node);
  expr->line = line;
  expr->height = height;
  return expr;
}

Symbol ParserBase::symbol(std::string_view name) {
  if (auto found = symbol_index_.find(name); found != symbol_index_.end()) return found->second;
  auto id = static_cast<Symbol>(symbols_.size());
  symbols_.emplace_back(name);
  uses_.push_back(0);
  symbol_index_.emplace(name, id);
  return id;
}

Result<ExprPtr> ExpressionParser::expression(bool with_condition) {
  Nesting nesting(*this);
  EXO_CHECK_OK(check_nesting());
  int32_t line = current().line;
  EXO_TRY(ExprPtr value, operators(kOr));
  while (with_condition && skip_name("if")) {
    EXO_TRY(ExprPtr condition, operators(kOr));
    ExprPtr otherwise;
    if (skip_name("else")) {
      EXO_TRY(otherwise, expression());
    }
    int32_t height = 1 + std::max({height_of(value), height_of(condition), height_of(otherwise)});
    EXO_TRY(value, make(ConditionExpr{std::move(condition), std::move(value), std::move(otherwise)}, line, height));
  }
  return value;
}

Result<ExprPtr> ExpressionParser::operators(int lowest_level) {
  Nesting nesting(*this);
  EXO_CHECK_OK(check_nesting());
  int32_t line = current().line;
  ExprPtr left;
  if (lowest_level <= kNot && skip_name("not")) {
    EXO_TRY(ExprPtr operand, operators(kNot));
    int32_t height = 1 + height_of(operand);
    EXO_TRY(left, make(UnaryExpr{UnaryOp::kNot, std::move(operand)}, line, height));
  } else {
    EXO_TRY(left, unary(true));
  }
  while (true) {
    if (lowest_level <= kCompare && find_compare(current(), look())) {
      EXO_TRY(left, comparison(std::move(left)));
    } else if (lowest_level <= kConcat && current().is_operator("~")) {
      EXO_TRY(left, concatenation(std::move(left)));
    } else if (const OperatorInfo* info = find_binary(current()); info && info->level >= lowest_level) {
      next();
      EXO_TRY(ExprPtr right, operators(info->level + 1));
      int32_t height = 1 + std::max(height_of(left), height_of(right));
      EXO_TRY(left, make(BinaryExpr{info->op, std::move(left), std::move(right)}, line, height));
    } else if ((lowest_level <= kAnd && current().is_name("and")) ||
               (lowest_level <= kOr && current().is_name("or"))) {
      bool is_and = next().text == "and";
      EXO_TRY(ExprPtr right, operators(is_and ? kNot : kAnd));
      int32_t height = 1 + std::max(height_of(left), height_of(right));
      EXO_TRY(left, make(LogicExpr{is_and, std::move(left), std::move(right)}, line, height));
    } else {
      return left;
    }
  }
}

Result<ExprPtr> ExpressionParser::comparison(ExprPtr first) {
  int32_t line = current().line, height = height_of(first);
  CompareExpr compare;
  compare.first = std::move(first);
  while (auto op = find_compare(current(), look())) {
    if (next().is_name("not")) next();
    EXO_TRY(ExprPtr operand, operators(kAdd));
    height = std::max(height, height_of(operand));
    compare.rest.emplace_back(*op, std::move(operand));
  }
  return make(std::move(compare), line, height + 1);
}

Result<ExprPtr> ExpressionParser::concatenation(ExprPtr first) {
  int32_t line = current().line, height = height_of(first);
  ConcatExpr concat;
  concat.parts.push_back(std::move(first));
  while (skip_operator("~")) {
    EXO_TRY(ExprPtr part, operators(kMultiply));
    height = std::max(height, height_of(part));
    concat.parts.push_back(std::move(part));
  }
  return make(std::move(concat), line, height + 1);
}

Result<ExprPtr> ExpressionParser::unary(bool with_filters) {
  Nesting nesting(*this);
  EXO_CHECK_OK(check_nesting());
  ExprPtr value;
  if (current().is_operator("-") || current().is_operator("+")) {
    Token sign = next();
    EXO_TRY(ExprPtr operand, unary(false));
    int32_t height = 1 + height_of(operand);
    UnaryOp op = sign.text == "-" ? UnaryOp::kMinus : UnaryOp::kPlus;
    EXO_TRY(value, make(UnaryExpr{op, std::move(operand)}, sign.line, height));
  } else {
    EXO_TRY(value, primary());
  }
  EXO_TRY(value, postfix(std::move(value)));
  if (!with_filters) return value;
  return filters_and_tests(std::move(value));
}

Result<ExprPtr> ExpressionParser::primary() {
  switch (current().type) {
    case TokenType::kName:
      return name_or_constant();
    case TokenType::kString:
      return string_constant();
    case TokenType::kInteger: {
      Token token = next();
      return make(ConstExpr{Value::integer(token.integer)}, token.line, 1);
    }
    case TokenType::kFloat: {
      Token token = next();
      return make(ConstExpr{Value(token.real)}, token.line, 1);
    }
    default:
      break;
  }
  if (skip_operator("(")) {
    EXO_TRY(ExprPtr value, tuple(true, {}, true));
    EXO_CHECK_OK(expect_operator(")"));
    return value;
  }
  if (current().is_operator("[")) return list();
  if (current().is_operator("{")) return dict();
  return error("unexpected '{}'", describe(current()));
}

Result<ExprPtr> ExpressionParser::name_or_constant() {
  Token token = next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return make(ConstExpr{Value(true)}, token.line, 1);
  if (name == "false" || name == "False") return make(ConstExpr{Value(false)}, token.line, 1);
  if (name == "none" || name == "None") return make(ConstExpr{Value()}, token.line, 1);
  Symbol id = symbol(name);
  ++uses_[id];
  return make(NameExpr{id}, token.line, 1);
}

Result<ExprPtr> ExpressionParser::string_constant() {
  int32_t line = current().line;
  std::string text;
  while (current().is(TokenType::kString)) text += next().text;
  return make(ConstExpr{constant_string(std::move(text))}, line, 1);
}

bool ExpressionParser::at_tuple_end(std::string_view end_name) const {
  const Token& token = current();
  return token.is(TokenType::kVariableEnd) || token.is(TokenType::kBlockEnd) || token.is_operator(")") ||
         (!end_name.empty() && token.is_name(end_name));
}

Result<ExprPtr> ExpressionParser::tuple(bool with_condition, std::string_view end_name, bool parenthesized) {
  int32_t line = current().line, height = 0;
  std::vector<ExprPtr> items;
  bool is_tuple = false;
  while (!at_tuple_end(end_name)) {
    EXO_TRY(ExprPtr item, expression(with_condition));
    height = std::max(height, height_of(item));
    items.push_back(std::move(item));
    if (!skip_operator(",")) break;
    is_tuple = true;
  }
  if (!is_tuple && !items.empty()) return std::move(items[0]);
  if (!is_tuple && !parenthesized) return error("expected an expression, got '{}'", describe(current()));
  return make(SequenceExpr{true, std::move(items)}, line, height + 1);
}

Result<ExprPtr> ExpressionParser::list() {
  int32_t line = next().line, height = 0;
  std::vector<ExprPtr> items;
  while (!current().is_operator("]")) {
    if (!items.empty()) EXO_CHECK_OK(expect_operator(","));
    if (current().is_operator("]")) break;
    EXO_TRY(ExprPtr item, expression());
    height = std::max(height, height_of(item));
    items.push_back(std::move(item));
  }
  next();
  return make(SequenceExpr{false, std::move(items)}, line, height + 1);
}

Result<ExprPtr> ExpressionParser::dict() {
  int32_t line = next().line, height = 0;
  DictExpr dict;
  while (!current().is_operator("}")) {
    if (!dict.entries.empty()) EXO_CHECK_OK(expect_operator(","));
    if (current().is_operator("}")) break;
    EXO_TRY(ExprPtr key, expression());
    EXO_CHECK_OK(expect_operator(":"));
    EXO_TRY(ExprPtr value, expression());
    height = std::max({height, height_of(key), height_of(value)});
    dict.entries.emplace_back(std::move(key), std::move(value));
  }
  next();
  return make(std::move(dict), line, height + 1);
}

Result<ExprPtr> ExpressionParser::postfix(ExprPtr operand) {
  while (true) {
    if (current().is_operator(".") || current().is_operator("[")) {
      EXO_TRY(operand, subscript(std::move(operand)));
    } else if (current().is_operator("(")) {
      EXO_TRY(operand, call(std::move(operand)));
    } else {
      return operand;
    }
  }
}

Result<ExprPtr> ExpressionParser::filters_and_tests(ExprPtr operand) {
  while (true) {
    if (current().is_operator("|")) {
      EXO_TRY(operand, filters(std::move(operand), false));
    } else if (current().is_name("is")) {
      EXO_TRY(operand, test(std::move(operand)));
    } else if (current().is_operator("(")) {
      EXO_TRY(operand, call(std::move(operand)));
    } else {
      return operand;
    }
  }
}

Result<ExprPtr> ExpressionParser::subscript(ExprPtr operand) {
  Token token = next();
  int32_t height = 1 + height_of(operand);
  if (token.text == ".") {
    Token attribute = next();
    if (attribute.is(TokenType::kName)) {
      return make(AttributeExpr{std::move(operand), std::move(attribute.text)}, token.line, height);
    }
    if (!attribute.is(TokenType::kInteger)) return error("expected name or number");
    EXO_TRY(ExprPtr key, make(ConstExpr{Value::integer(attribute.integer)}, attribute.line, 1));
    return make(ItemExpr{std::move(operand), std::move(key)}, token.line, height);
  }
  std::vector<ExprPtr> keys;
  while (!current().is_operator("]")) {
    if (!keys.empty()) EXO_CHECK_OK(expect_operator(","));
    EXO_TRY(ExprPtr key, subscribed(height));
    keys.push_back(std::move(key));
  }
  next();
  ExprPtr key;
  if (keys.size() == 1) {
    key = std::move(keys[0]);
  } else {
    EXO_TRY(key, make(SequenceExpr{true, std::move(keys)}, token.line, height));
  }
  return make(ItemExpr{std::move(operand), std::move(key)}, token.line, height + 1);
}

Result<ExprPtr> ExpressionParser::subscribed(int32_t& height) {
  int32_t line = current().line;
  SliceExpr slice;
  auto part_follows = [&] {
    return !current().is_operator(":") && !current().is_operator("]") && !current().is_operator(",");
  };
  if (!current().is_operator(":")) {
    EXO_TRY(slice.start, expression());
    height = std::max(height, 1 + height_of(slice.start));
    if (!current().is_operator(":")) return std::move(slice.start);
  }
  next();
  if (part_follows()) {
    EXO_TRY(slice.stop, expression());
    height = std::max(height, 1 + height_of(slice.stop));
  }
  if (skip_operator(":") && part_follows()) {
    EXO_TRY(slice.step, expression());
    height = std::max(height, 1 + height_of(slice.step));
  }
  return make(std::move(slice), line, height);
}

Result<ExprPtr> ExpressionParser::call(ExprPtr callee) {
  int32_t line = current().line, height = height_of(callee);
  EXO_TRY(CallArguments arguments, call_arguments(height));
  return make(CallExpr{std::move(callee), std::move(arguments)}, line, height + 1);
}

Result<CallArguments> ExpressionParser::call_arguments(int32_t& height) {
  EXO_CHECK_OK(expect_operator("("));
  CallArguments arguments;
  for (bool first = true; !current().is_operator(")"); first = false) {
    if (!first) {
      EXO_CHECK_OK(expect_operator(","));
      if (current().is_operator(")")) break;
    }
    EXO_CHECK_OK(call_argument(arguments, height));
  }
  next();
  return arguments;
}

Status ExpressionParser::call_argument(CallArguments& arguments, int32_t& height) {
  auto parse = [&]() -> Result<ExprPtr> {
    EXO_TRY(ExprPtr value, expression());
    height = std::max(height, height_of(value));
    return value;
  };
  if (skip_operator("*")) {
    if (arguments.star || arguments.double_star) return error("invalid syntax for function call expression");
    EXO_TRY(arguments.star, parse());
  } else if (skip_operator("**")) {
    if (arguments.double_star) return error("invalid syntax for function call expression");
    EXO_TRY(arguments.double_star, parse());
  } else if (current().is(TokenType::kName) && look().is_operator("=")) {
    if (arguments.double_star) return error("invalid syntax for function call expression");
    std::string name = next().text;
    next();
    EXO_TRY(ExprPtr value, parse());
    arguments.named.emplace_back(std::move(name), std::move(value));
  } else {
    if (arguments.star || arguments.double_star || !arguments.named.empty()) {
      return error("invalid syntax for function call expression");
    }
    EXO_TRY(ExprPtr value, parse());
    arguments.positional.push_back(std::move(value));
  }
  return {};
}

Result<ExprPtr> ExpressionParser::filters(ExprPtr operand, bool inline_start) {
  while (inline_start || current().is_operator("|")) {
    if (!inline_start) next();
    inline_start = false;
    int32_t line = current().line, height = height_of(operand);
    EXO_TRY(std::string name, expect_name());
    while (skip_operator(".")) {
      EXO_TRY(std::string part, expect_name());
      name += "." + part;
    }
    CallArguments arguments;
    if (current().is_operator("(")) {
      EXO_TRY(arguments, call_arguments(height));
    }
    EXO_TRY(operand, make(FilterExpr{std::move(operand), std::move(name), std::move(arguments)}, line, height + 1));
  }
  return operand;
}

Result<ExprPtr> ExpressionParser::test(ExprPtr operand) {
  int32_t line = next().line, height = height_of(operand);
  bool negated = skip_name("not");
  EXO_TRY(std::string name, expect_name());
  while (skip_operator(".")) {
    EXO_TRY(std::string part, expect_name());
    name += "." + part;
  }
  CallArguments arguments;
  auto argument_follows = [&] {
    const Token& token = current();
    if (token.is_name("else") || token.is_name("or") || token.is_name("and")) return false;
    return token.is(TokenType::kName) || token.is(TokenType::kString) || token.is(TokenType::kInteger) ||
           token.is(TokenType::kFloat) || token.is_operator("[") || token.is_operator("{");
  };
  if (current().is_operator("(")) {
    EXO_TRY(arguments, call_arguments(height));
  } else if (argument_follows()) {
    if (current().is_name("is")) return error("You cannot chain multiple tests with is");
    EXO_TRY(ExprPtr argument, primary());
    EXO_TRY(argument, postfix(std::move(argument)));
    height = std::max(height, height_of(argument));
    arguments.positional.push_back(std::move(argument));
  }
  EXO_TRY(ExprPtr value,
          make(TestExpr{std::move(operand), std::move(name), std::move(arguments)}, line, height + 1));
  if (!negated) return value;
  return make(UnaryExpr{UnaryOp::kNot, std::move(value)}, line, height + 2);
}

}  // namespace exo::chat::jinja
