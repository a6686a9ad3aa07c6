#pragma once
// Template source → tokens, with trim_blocks and lstrip_blocks applied.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "chat/jinja/value.h"

namespace exo::chat::jinja {

enum class TokenType : uint8_t {
  kData,
  kVariableBegin,
  kVariableEnd,
  kBlockBegin,
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEof,
};

struct Token {
  TokenType type = TokenType::kEof;
  std::string text;  // data, name, unescaped string, operator
  Int integer = 0;
  double real = 0;
  int32_t line = 1;

  bool is(TokenType wanted) const { return type == wanted; }
  bool is_name(std::string_view name) const { return type == TokenType::kName && text == name; }
  bool is_operator(std::string_view name) const { return type == TokenType::kOperator && text == name; }
};

// Ends in one kEof token. Errors name the line.
Result<std::vector<Token>> tokenize(std::string_view source);

// For messages: what a person would call this token.
std::string describe(const Token& token);

}  // namespace exo::chat::jinja
