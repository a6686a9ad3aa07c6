#include "chat/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "chat/jinja/parser_base.h"

namespace exo::chat::jinja {
namespace {

class TemplateParser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Result<Template> run() {
    Template result;
    EXO_TRY(result.body, statements({}));
    result.symbols = std::move(symbols_);
    return result;
  }

 private:
  using Names = std::initializer_list<std::string_view>;

  // Up to a tag that begins with one of `ends` (which stays current), or to the end of the template when none.
  Result<Body> statements(Names ends) {
    Nesting nesting(*this);
    EXO_CHECK_OK(check_nesting());
    Body body;
    while (!current().is(TokenType::kEof)) {
      int32_t line = current().line;
      if (current().is(TokenType::kData)) {
        body.push_back(Stmt{TextStmt{next().text}, line});
      } else if (current().is(TokenType::kVariableBegin)) {
        next();
        EXO_TRY(ExprPtr value, tuple());
        EXO_CHECK_OK(expect(TokenType::kVariableEnd, "'}}'"));
        body.push_back(Stmt{OutputStmt{std::move(value)}, line});
      } else {
        EXO_CHECK_OK(expect(TokenType::kBlockBegin, "'{%'"));
        if (std::any_of(ends.begin(), ends.end(), [&](auto name) { return current().is_name(name); })) return body;
        EXO_CHECK_OK(statement(body));
        EXO_CHECK_OK(expect(TokenType::kBlockEnd, "'%}'"));
      }
    }
    if (ends.size() > 0) return error("unexpected end of template: '{}' is missing", *(ends.end() - 1));
    return body;
  }

  // The body of a statement, behind its opening tag's expressions; the end tag's name is consumed and returned.
  Result<std::string> block(Body& body, Names ends) {
    skip_operator(":");
    EXO_CHECK_OK(expect(TokenType::kBlockEnd, "'%}'"));
    EXO_TRY(body, statements(ends));
    return next().text;
  }

  Status statement(Body& body) {
    int32_t line = current().line;
    EXO_TRY(std::string tag, expect_name());
    auto add = [&](auto parsed) -> Status {
      if (!parsed) return std::unexpected(std::move(parsed).error());
      body.push_back(Stmt{std::move(*parsed), line});
      return {};
    };
    if (tag == "if") return add(if_statement());
    if (tag == "for") return add(for_statement());
    if (tag == "set") return set_statement(body, line);
    if (tag == "macro") return add(macro_statement());
    if (tag == "call") return add(call_block());
    if (tag == "filter") return add(filter_block());
    if (tag == "with") return add(with_statement());
    if (tag == "print") return print_statement(body);
    if (tag == "block") return add(block_statement());
    if (tag == "generation") return add(scope_statement("endgeneration"));
    if (tag == "autoescape") return add(autoescape_statement());
    if (tag == "break" || tag == "continue") return loop_control(body, tag == "break", line);
    if (tag == "extends" || tag == "include" || tag == "import" || tag == "from") {
      return fail(ErrorCode::kUnsupported,
                  "chat template, line {}: '{}' needs other templates, which a chat template cannot have", line,
                  tag);
    }
    return error("encountered unknown tag '{}'", tag);
  }

  Result<IfStmt> if_statement() {
    IfStmt result;
    while (true) {
      EXO_TRY(ExprPtr test, tuple(false));
      Body body;
      EXO_TRY(std::string end, block(body, {"elif", "else", "endif"}));
      result.branches.emplace_back(std::move(test), std::move(body));
      if (end == "elif") continue;
      if (end == "else") EXO_CHECK_OK(block(result.otherwise, {"endif"}));
      return result;
    }
  }

  Result<ForStmt> for_statement() {
    ForStmt loop;
    EXO_TRY(loop.target, target("in", false));
    if (!skip_name("in")) return error("expected 'in', got '{}'", describe(current()));
    EXO_TRY(loop.iterable, tuple(false, "recursive"));
    if (skip_name("if")) {
      EXO_TRY(loop.test, expression());
    }
    loop.recursive = skip_name("recursive");
    size_t before = uses("loop");
    ++loop_depth_;
    auto end = block(loop.body, {"endfor", "else"});
    --loop_depth_;
    if (!end) return std::unexpected(std::move(end).error());
    loop.uses_loop = loop.recursive || uses("loop") != before;
    if (*end == "else") EXO_CHECK_OK(block(loop.otherwise, {"endfor"}));
    return loop;
  }

  Status set_statement(Body& body, int32_t line) {
    EXO_TRY(Target assigned, target({}, true));
    if (skip_operator("=")) {
      EXO_TRY(ExprPtr value, tuple());
      body.push_back(Stmt{SetStmt{std::move(assigned), std::move(value)}, line});
      return {};
    }
    SetBlockStmt result{std::move(assigned), nullptr, {}};
    EXO_TRY(result.filter, filters(nullptr, false));
    EXO_CHECK_OK(block(result.body, {"endset"}));
    body.push_back(Stmt{std::move(result), line});
    return {};
  }

  Result<Target> target(std::string_view end_name, bool with_attributes) {
    Nesting nesting(*this);
    EXO_CHECK_OK(check_nesting());
    TupleTarget items;
    bool is_tuple = false;
    while (!current().is_operator("=") && !at_tuple_end(end_name)) {
      EXO_TRY(Target item, single_target(with_attributes));
      items.items.push_back(std::move(item));
      if (!skip_operator(",")) break;
      is_tuple = true;
    }
    if (!is_tuple && items.items.size() == 1) return std::move(items.items[0]);
    if (items.items.empty()) return error("expected a name to assign to, got '{}'", describe(current()));
    return Target{std::move(items)};
  }

  Result<Target> single_target(bool with_attributes) {
    if (skip_operator("(")) {
      EXO_TRY(Target inner, target({}, with_attributes));
      EXO_CHECK_OK(expect_operator(")"));
      return inner;
    }
    EXO_TRY(std::string name, expect_name());
    for (std::string_view constant : {"true", "false", "none", "True", "False", "None"}) {
      if (name == constant) return error("can't assign to '{}'", name);
    }
    if (name == "loop" && loop_depth_ > 0) return error("can't assign to 'loop' in a loop");
    if (with_attributes && skip_operator(".")) {
      EXO_TRY(std::string attribute, expect_name());
      return Target{AttributeTarget{symbol(name), std::move(attribute)}};
    }
    return Target{NameTarget{symbol(name)}};
  }

  Result<Signature> signature() {
    Signature result;
    EXO_CHECK_OK(expect_operator("("));
    while (!current().is_operator(")")) {
      if (!result.parameters.empty()) EXO_CHECK_OK(expect_operator(","));
      EXO_TRY(std::string name, expect_name());
      Symbol parameter = symbol(name);
      if (std::find(result.parameters.begin(), result.parameters.end(), parameter) != result.parameters.end()) {
        return error("duplicate argument '{}' in function definition", name);
      }
      result.parameters.push_back(parameter);
      if (skip_operator("=")) {
        EXO_TRY(ExprPtr value, expression());
        result.defaults.push_back(std::move(value));
      } else if (!result.defaults.empty()) {
        return error("non-default argument follows default argument");
      }
    }
    next();
    return result;
  }

  Status macro_body(MacroStmt& macro, std::string_view end) {
    size_t caller = uses("caller"), kwargs = uses("kwargs"), varargs = uses("varargs");
    int32_t outer_loops = std::exchange(loop_depth_, 0);
    auto done = block(macro.body, {end});
    loop_depth_ = outer_loops;
    if (!done) return std::unexpected(std::move(done).error());
    macro.uses_caller = uses("caller") != caller;
    macro.uses_kwargs = uses("kwargs") != kwargs;
    macro.uses_varargs = uses("varargs") != varargs;
    return {};
  }

  Result<std::unique_ptr<MacroStmt>> macro_statement() {
    auto macro = std::make_unique<MacroStmt>();
    EXO_TRY(std::string name, expect_name());
    macro->name = symbol(name);
    EXO_TRY(macro->signature, signature());
    EXO_CHECK_OK(macro_body(*macro, "endmacro"));
    return macro;
  }

  Result<CallBlockStmt> call_block() {
    CallBlockStmt result;
    result.caller = std::make_unique<MacroStmt>();
    result.caller->name = symbol("caller");
    result.caller->anonymous = true;
    if (current().is_operator("(")) {
      EXO_TRY(result.caller->signature, signature());
    }
    EXO_TRY(result.call, expression());
    if (!std::holds_alternative<CallExpr>(result.call->node)) return error("expected call");
    EXO_CHECK_OK(macro_body(*result.caller, "endcall"));
    return result;
  }

  Result<FilterBlockStmt> filter_block() {
    FilterBlockStmt result;
    EXO_TRY(result.filter, filters(nullptr, true));
    EXO_CHECK_OK(block(result.body, {"endfilter"}));
    return result;
  }

  Result<WithStmt> with_statement() {
    WithStmt result;
    while (!current().is(TokenType::kBlockEnd)) {
      if (!result.assignments.empty()) EXO_CHECK_OK(expect_operator(","));
      EXO_TRY(Target assigned, single_target(false));
      EXO_CHECK_OK(expect_operator("="));
      EXO_TRY(ExprPtr value, expression());
      result.assignments.emplace_back(std::move(assigned), std::move(value));
    }
    EXO_CHECK_OK(block(result.body, {"endwith"}));
    return result;
  }

  Status print_statement(Body& body) {
    for (bool first = true; !current().is(TokenType::kBlockEnd); first = false) {
      if (!first) EXO_CHECK_OK(expect_operator(","));
      int32_t line = current().line;
      EXO_TRY(ExprPtr value, expression());
      body.push_back(Stmt{OutputStmt{std::move(value)}, line});
    }
    return {};
  }

  Result<ScopeStmt> block_statement() {
    EXO_TRY(std::string name, expect_name());
    bool scoped = skip_name("scoped");
    skip_name("required");
    ScopeStmt result{scoped, {}};
    EXO_CHECK_OK(isolated_block(result.body, "endblock"));
    skip_name(name);
    return result;
  }

  Result<ScopeStmt> scope_statement(std::string_view end) {
    ScopeStmt result;
    EXO_CHECK_OK(isolated_block(result.body, end));
    return result;
  }

  Result<ScopeStmt> autoescape_statement() {
    if (!skip_name("false") && !skip_name("False")) {
      return fail(ErrorCode::kUnsupported, "chat template, line {}: autoescape is not supported", current().line);
    }
    ScopeStmt result;
    EXO_CHECK_OK(block(result.body, {"endautoescape"}));
    return result;
  }

  // A body that loop controls cannot leave.
  Status isolated_block(Body& body, std::string_view end) {
    int32_t outer_loops = std::exchange(loop_depth_, 0);
    auto done = block(body, {end});
    loop_depth_ = outer_loops;
    if (!done) return std::unexpected(std::move(done).error());
    return {};
  }

  Status loop_control(Body& body, bool is_break, int32_t line) {
    if (loop_depth_ == 0) return error("'{}' outside of a loop", is_break ? "break" : "continue");
    body.push_back(Stmt{LoopControlStmt{is_break}, line});
    return {};
  }

  int32_t loop_depth_ = 0;
};

}  // namespace

Result<Template> parse_template(std::string_view source, const TemplateLimits& limits) {
  if (source.size() > limits.max_template_bytes) {
    return fail(ErrorCode::kResourceExhausted, "the chat template has {} bytes; at most {} are read", source.size(),
                limits.max_template_bytes);
  }
  EXO_TRY(std::vector<Token> tokens, tokenize(source));
  return TemplateParser(std::move(tokens), limits).run();
}

}  // namespace exo::chat::jinja
