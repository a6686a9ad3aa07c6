#pragma once
// What the expression and the statement parser share: the token stream, symbols, and bounds on nesting.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_template.h"
#include "chat/jinja/ast.h"
#include "chat/jinja/lexer.h"

namespace exo::chat::jinja {

class ParserBase {
 public:
  ParserBase(std::vector<Token> tokens, const TemplateLimits& limits)
      : tokens_(std::move(tokens)),
        max_depth_(limits.max_depth),
        stack_base_(static_cast<const char*>(__builtin_frame_address(0))) {}

 protected:
  const Token& current() const { return tokens_[at_]; }
  const Token& look() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token next() {
    Token token = current();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool skip_name(std::string_view name) { return current().is_name(name) && (next(), true); }
  bool skip_operator(std::string_view name) { return current().is_operator(name) && (next(), true); }

  template <typename... Args>
  std::unexpected<Error> error(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(ErrorCode::kInvalidArgument, "chat template, line {}: {}", current().line,
                fmt::format(text, std::forward<Args>(args)...));
  }
  Status expect(TokenType type, std::string_view what) {
    if (!current().is(type)) return error("expected {}, got '{}'", what, describe(current()));
    next();
    return {};
  }
  Status expect_operator(std::string_view name) {
    if (!current().is_operator(name)) return error("expected '{}', got '{}'", name, describe(current()));
    next();
    return {};
  }
  Result<std::string> expect_name() {
    if (!current().is(TokenType::kName)) return error("expected a name, got '{}'", describe(current()));
    return next().text;
  }

  // Counts one level of recursion for its lifetime.
  class Nesting {
   public:
    explicit Nesting(ParserBase& parser) : parser_(parser) { ++parser_.depth_; }
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ParserBase& parser_;
  };
  Status check_nesting() const;
  // A node of the tree. `height`: 1 + its children's greatest.
  Result<ExprPtr> make(decltype(Expr::node) node, int32_t line, int32_t height);

  Symbol symbol(std::string_view name);
  // How often the name was read so far: tells whether a body uses it.
  size_t uses(std::string_view name) { return uses_[symbol(name)]; }

  std::vector<Token> tokens_;
  size_t at_ = 0;
  int32_t max_depth_;
  int32_t depth_ = 0;
  const char* stack_base_;
  std::vector<std::string> symbols_;
  std::vector<size_t> uses_;
  std::map<std::string, Symbol, std::less<>> symbol_index_;
};

// Expressions, by falling precedence: unary, **, * / // %, ~, + -, comparisons, not, and, or, … if … else ….
class ExpressionParser : public ParserBase {
 public:
  using ParserBase::ParserBase;

 protected:
  Result<ExprPtr> expression(bool with_condition = true);
  // One expression, or several with commas: a tuple. Ends at the tag's end, at ')' or at the name `end_name`.
  Result<ExprPtr> tuple(bool with_condition = true, std::string_view end_name = {}, bool parenthesized = false);
  // `| name(args) | …` behind `operand`; with `inline_start` the first `|` has been read.
  Result<ExprPtr> filters(ExprPtr operand, bool inline_start);
  bool at_tuple_end(std::string_view end_name) const;

 private:
  Result<ExprPtr> operators(int lowest_level);
  Result<ExprPtr> comparison(ExprPtr first);
  Result<ExprPtr> concatenation(ExprPtr first);
  Result<ExprPtr> unary(bool with_filters);
  Result<ExprPtr> primary();
  Result<ExprPtr> name_or_constant();
  Result<ExprPtr> string_constant();
  Result<ExprPtr> list();
  Result<ExprPtr> dict();
  Result<ExprPtr> postfix(ExprPtr operand);
  Result<ExprPtr> filters_and_tests(ExprPtr operand);
  Result<ExprPtr> subscript(ExprPtr operand);
  Result<ExprPtr> subscribed(int32_t& height);
  Result<ExprPtr> call(ExprPtr callee);
  Result<CallArguments> call_arguments(int32_t& height);
  Status call_argument(CallArguments& arguments, int32_t& height);
  Result<ExprPtr> test(ExprPtr operand);
};

}  // namespace exo::chat::jinja
