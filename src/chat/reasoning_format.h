#pragma once
// How a family of models marks its reasoning, known from the text of its chat template.

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "chat/harmony.h"
#include "chat/reasoning.h"
#include "text/tokenizer.h"

namespace exo::chat {

struct ReasoningFormat {
  bool harmony = false;  // gpt-oss's channels; else:
  ReasoningTags tags;
};

// The family's format by the marks that its template mentions; <think> … </think> when there are none.
ReasoningFormat detect_reasoning(std::string_view template_source);

// The control tokens that the format's marks are made of: they must be rendered into the text that goes to a
// ReasoningSplitter.
std::vector<TokenId> reasoning_tokens(const ReasoningFormat& format, const text::Tokenizer& tokenizer);

// Separates the reasoning of one answer from its content, whatever the format. Belongs to one stream and one
// thread.
class ReasoningSplitter {
 public:
  // `prompt`: as rendered; it may have opened the reasoning.
  ReasoningSplitter(const ReasoningFormat& format, std::string_view prompt);

  ReasoningDelta push(std::string_view text) {
    return std::visit([&](auto& parser) { return parser.push(text); }, parser_);
  }
  ReasoningDelta finish() {
    return std::visit([](auto& parser) { return parser.finish(); }, parser_);
  }
  // False once only content can follow: then control tokens of the format are noise, not text.
  bool expects_marks() const;
  // What the model addressed to tools, in the harmony format.
  const std::vector<HarmonyCall>& calls() const;

 private:
  std::variant<ReasoningParser, HarmonyParser> parser_;
};

}  // namespace exo::chat
