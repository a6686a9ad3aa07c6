#include "chat/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "chat/jinja/unicode.h"

namespace exo::chat::jinja {
namespace {

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

int digit_value(char c) {
  if (is_ascii_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (out.ends_with('\n')) out.pop_back();  // keep_trailing_newline is off
  return out;
}

std::string_view strip_right(std::string_view text) {
  size_t end = 0;
  for (size_t i = 0; i < text.size();) {
    auto [code, size] = decode_code_point(text.substr(i));
    i += size;
    if (!is_space(code)) end = i;
  }
  return text.substr(0, end);
}

bool all_space(std::string_view text) { return strip_right(text).empty(); }

// The text of a string literal between its quotes, as Python's unicode-escape codec reads it.
class Unescaper {
 public:
  explicit Unescaper(std::string_view text) : text_(text) {}

  Result<std::string> run() {
    while (at_ < text_.size()) {
      if (text_[at_] != '\\' || at_ + 1 == text_.size()) {
        out_ += text_[at_++];
        continue;
      }
      EXO_CHECK_OK(escape(text_[at_ + 1]));
    }
    return std::move(out_);
  }

 private:
  Status escape(char c) {
    constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
    at_ += 2;
    if (c == '\n') return {};
    if (size_t i = kNames.find(c); i != kNames.npos) {
      out_ += kValues[i];
      return {};
    }
    if (c >= '0' && c <= '7') {
      octal();
      return {};
    }
    if (c == 'x') return hexadecimal(2);
    if (c == 'u') return hexadecimal(4);
    if (c == 'U') return hexadecimal(8);
    if (c == 'N') return fail(ErrorCode::kUnsupported, "\\N{{…}} escapes are not supported in templates");
    out_ += '\\';
    out_ += c;
    return {};
  }

  void octal() {
    --at_;
    char32_t code = 0;
    for (int i = 0; i < 3 && at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '7'; ++i) {
      code = code * 8 + static_cast<char32_t>(text_[at_++] - '0');
    }
    append_code_point(out_, code);
  }

  Status hexadecimal(size_t digits) {
    EXO_TRY(char32_t code, read_hexadecimal(digits));
    if (code >= 0xD800 && code < 0xE000) return surrogate(code);
    append_code_point(out_, code);
    return {};
  }

  Result<char32_t> read_hexadecimal(size_t digits) {
    char32_t code = 0;
    for (size_t i = 0; i < digits; ++i) {
      int value = at_ < text_.size() ? digit_value(text_[at_]) : 99;
      if (value > 15) return fail(ErrorCode::kInvalidArgument, "truncated \\x, \\u or \\U escape in a string");
      code = code * 16 + static_cast<char32_t>(value);
      ++at_;
    }
    if (code > 0x10FFFF) return fail(ErrorCode::kInvalidArgument, "illegal Unicode character in a string");
    return code;
  }

  // Python would keep halves of pairs, which no UTF-8 output can hold: pairs are joined, others replaced.
  Status surrogate(char32_t high) {
    constexpr char32_t kReplacement = 0xFFFD;
    char32_t joined = kReplacement;
    if (high < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
      size_t before = at_;
      at_ += 2;
      EXO_TRY(char32_t low, read_hexadecimal(4));
      if (low >= 0xDC00 && low < 0xE000) {
        joined = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = before;
      }
    }
    append_code_point(out_, joined);
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string out_;
};

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) EXO_CHECK_OK(root());
    emit(TokenType::kEof, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }

  void emit(TokenType type, std::string_view text) {
    Token token;
    token.type = type;
    token.text = text;
    token.line = line_;
    tokens_.push_back(std::move(token));
  }

  void advance(size_t count) {
    line_ += static_cast<int32_t>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                             source_.begin() + static_cast<std::ptrdiff_t>(at_ + count), '\n'));
    at_ += count;
    line_starting_ = at_ > 0 && source_[at_ - 1] == '\n';
  }

  size_t space_length(std::string_view text) const {
    size_t length = 0;
    while (length < text.size()) {
      auto [code, size] = decode_code_point(text.substr(length));
      if (!is_space(code)) break;
      length += size;
    }
    return length;
  }

  template <typename... Args>
  std::unexpected<Error> error(fmt::format_string<Args...> text, Args&&... args) const {
    return fail(ErrorCode::kInvalidArgument, "chat template, line {}: {}", line_,
                fmt::format(text, std::forward<Args>(args)...));
  }

  // One stretch of text and the tag that ends it.
  Status root() {
    size_t open = find_tag();
    std::string_view text = source_.substr(at_, open - at_);
    if (open == source_.size()) {
      emit_data(text);
      advance(text.size());
      return {};
    }
    char kind = source_[open + 1];
    char sign = open + 2 < source_.size() ? source_[open + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    std::string_view kept = text;
    if (sign == '-') {
      kept = strip_right(text);
    } else if (sign != '+' && kind != '{') {
      kept = strip_line_start(text);
    }
    emit_data(kept);
    advance(text.size() + 2 + (sign ? 1 : 0));
    if (kind == '#') return comment();
    if (kind == '%') {
      if (size_t length = raw_begin_length()) return raw(length);
      emit(TokenType::kBlockBegin, "{%");
      return tag("%}");
    }
    emit(TokenType::kVariableBegin, "{{");
    return tag("}}");
  }

  size_t find_tag() const {
    for (size_t i = source_.find('{', at_); i != source_.npos; i = source_.find('{', i + 1)) {
      if (i + 1 < source_.size() && (source_[i + 1] == '{' || source_[i + 1] == '%' || source_[i + 1] == '#'))
        return i;
    }
    return source_.size();
  }

  std::string_view strip_line_start(std::string_view text) const {
    size_t line = text.rfind('\n') + 1;  // npos + 1 == 0
    if ((line > 0 || line_starting_) && all_space(text.substr(line))) return text.substr(0, line);
    return text;
  }

  void emit_data(std::string_view text) {
    if (!text.empty()) emit(TokenType::kData, text);
  }

  // Length of the closing mark at `text`, with the white space it takes away; 0 when there is none.
  size_t end_length(std::string_view text, std::string_view mark) const {
    bool block = mark != "}}";
    if (text.starts_with('-') && text.substr(1).starts_with(mark)) {
      size_t length = 1 + mark.size();
      return length + space_length(text.substr(length));
    }
    if (block && text.starts_with('+') && text.substr(1).starts_with(mark)) return 1 + mark.size();
    if (!text.starts_with(mark)) return 0;
    bool newline = block && text.size() > mark.size() && text[mark.size()] == '\n';
    return mark.size() + (newline ? 1 : 0);
  }

  Status comment() {
    for (size_t i = at_; i < source_.size(); ++i) {
      if (source_[i] != '#' && source_[i] != '-' && source_[i] != '+') continue;
      if (size_t length = end_length(source_.substr(i), "#}")) {
        advance(i - at_ + length);
        return {};
      }
    }
    return error("missing end of comment tag");
  }

  // Behind `{%` and its sign: the rest of a raw tag's opening, or 0.
  size_t raw_begin_length() const {
    std::string_view text = rest();
    size_t length = space_length(text);
    if (!text.substr(length).starts_with("raw")) return 0;
    length += 3;
    length += space_length(text.substr(length));
    if (text.substr(length).starts_with("-%}")) return length + 3 + space_length(text.substr(length + 3));
    return text.substr(length).starts_with("%}") ? length + 2 : 0;
  }

  Status raw(size_t opening_length) {
    advance(opening_length);
    for (size_t open = source_.find("{%", at_); open != source_.npos; open = source_.find("{%", open + 1)) {
      size_t i = open + 2;
      char sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i++] : '\0';
      i += space_length(source_.substr(i));
      if (!source_.substr(i).starts_with("endraw")) continue;
      i += 6;
      i += space_length(source_.substr(i));
      size_t closing = end_length(source_.substr(i), "%}");
      if (closing == 0) continue;
      std::string_view text = source_.substr(at_, open - at_);
      emit_data(sign == '-' ? strip_right(text) : sign == '+' ? text : strip_line_start(text));
      advance(i + closing - at_);
      return {};
    }
    return error("missing end of raw directive");
  }

  Status tag(std::string_view mark) {
    brackets_.clear();
    while (at_ < source_.size()) {
      if (brackets_.empty()) {
        if (size_t length = end_length(rest(), mark)) {
          emit(mark == "}}" ? TokenType::kVariableEnd : TokenType::kBlockEnd, mark);
          advance(length);
          return {};
        }
      }
      if (size_t space = space_length(rest())) {
        advance(space);
        continue;
      }
      EXO_CHECK_OK(expression_token());
    }
    return {};
  }

  Status expression_token() {
    char c = source_[at_];
    if (is_ascii_digit(c)) return number();
    if (c == '\'' || c == '"') return string(c);
    if (size_t length = name_length()) {
      emit(TokenType::kName, rest().substr(0, length));
      advance(length);
      return {};
    }
    return operator_token();
  }

  size_t name_length() const {
    std::string_view text = rest();
    size_t length = 0;
    while (length < text.size()) {
      auto [code, size] = decode_code_point(text.substr(length));
      if (!is_alnum(code) && code != '_') break;
      length += size;
    }
    return length;
  }

  // Length of digits with single underscores between them.
  static size_t digits_length(std::string_view text, int base) {
    size_t length = 0;
    while (length < text.size()) {
      size_t next = length > 0 && text[length] == '_' ? length + 1 : length;
      if (next >= text.size() || digit_value(text[next]) >= base) break;
      length = next + 1;
    }
    return length;
  }

  Status number() {
    std::string_view text = rest();
    size_t whole = digits_length(text, 10);
    size_t length = whole;
    bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (!after_dot) {
      if (length < text.size() && text[length] == '.') {
        size_t fraction = digits_length(text.substr(length + 1), 10);
        if (fraction > 0) length += 1 + fraction;
      }
      if (length < text.size() && (text[length] == 'e' || text[length] == 'E')) {
        size_t sign = length + 1 < text.size() && (text[length + 1] == '+' || text[length + 1] == '-') ? 1 : 0;
        size_t exponent = digits_length(text.substr(std::min(text.size(), length + 1 + sign)), 10);
        if (exponent > 0) length += 1 + sign + exponent;
      }
    }
    return length > whole ? real(length) : integer();
  }

  Status real(size_t length) {
    std::string digits(rest().substr(0, length));
    std::erase(digits, '_');
    emit(TokenType::kFloat, digits);
    tokens_.back().real = std::strtod(digits.c_str(), nullptr);
    advance(length);
    return {};
  }

  Status integer() {
    std::string_view text = rest();
    int base = 10;
    size_t prefix = 0;
    if (text.size() > 2 && text[0] == '0') {
      char kind = static_cast<char>(text[1] | 0x20);
      base = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
      prefix = base == 10 ? 0 : 2;
      if (prefix && text[2] == '_') ++prefix;
    }
    size_t length = digits_length(text.substr(prefix), base);
    if (length == 0) return error("invalid number");
    std::string digits(text.substr(prefix, length));
    std::erase(digits, '_');
    if (base == 10 && digits[0] == '0') {
      digits.resize(std::min(digits.size(), digits.find_first_not_of('0')));  // "007" is 0 0 7 to jinja2
      length = digits.size();
    }
    Int value = 0;
    for (char c : digits) {
      if (__builtin_mul_overflow(value, Int{base}, &value) ||
          __builtin_add_overflow(value, Int{digit_value(c)}, &value)) {
        return error("the number {} is too large", digits);
      }
    }
    emit(TokenType::kInteger, digits);
    tokens_.back().integer = value;
    advance(prefix + length);
    return {};
  }

  Status string(char quote) {
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return error("unexpected char '{}': a string is not closed", quote);
    auto text = Unescaper(source_.substr(at_ + 1, end - at_ - 1)).run();
    if (!text)
      return std::unexpected(std::move(text).error().with_context(fmt::format("chat template, line {}", line_)));
    emit(TokenType::kString, *text);
    advance(end + 1 - at_);
    return {};
  }

  Status operator_token() {
    constexpr std::array<std::string_view, 27> kOperators = {"**", "//", "==", "!=", ">=", "<=", "+", "-", "/",
                                                             "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                             ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", ""};
    std::string_view found;
    for (std::string_view name : kOperators) {
      if (rest().starts_with(name)) {
        found = name;
        break;
      }
    }
    if (found.empty()) return error("unexpected char '{}'", rest().substr(0, decode_code_point(rest()).size));
    if (found == "(" || found == "[" || found == "{") {
      brackets_ += found == "(" ? ')' : found == "[" ? ']' : '}';
    } else if (found == ")" || found == "]" || found == "}") {
      if (brackets_.empty()) return error("unexpected '{}'", found);
      if (brackets_.back() != found[0]) return error("unexpected '{}', expected '{}'", found, brackets_.back());
      brackets_.pop_back();
    }
    emit(TokenType::kOperator, found);
    advance(found.size());
    return {};
  }

  std::string_view source_;
  size_t at_ = 0;
  int32_t line_ = 1;
  bool line_starting_ = true;
  std::string brackets_;  // closing brackets that are due
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokenize(std::string_view source) {
  std::string text = normalize_newlines(source);
  return Lexer(text).run();
}

std::string describe(const Token& token) {
  switch (token.type) {
    case TokenType::kData:
      return "template data / text";
    case TokenType::kVariableBegin:
      return "begin of print statement";
    case TokenType::kVariableEnd:
      return "end of print statement";
    case TokenType::kBlockBegin:
      return "begin of statement block";
    case TokenType::kBlockEnd:
      return "end of statement block";
    case TokenType::kEof:
      return "end of template";
    default:
      return token.text;
  }
}

}  // namespace exo::chat::jinja
