#pragma once
// The harmony format of gpt-oss: an answer is a row of messages, each with a header that names its channel.
// Format: https://github.com/openai/harmony/blob/main/docs/format.md

#include <string>
#include <string_view>
#include <vector>

#include "chat/reasoning.h"

namespace exo::chat {

// A message that the model addressed to a tool.
struct HarmonyCall {
  std::string recipient;  // "functions.get_weather"
  std::string body;
};

// Belongs to one stream and one thread. The channel "analysis" is reasoning; "final" and what "commentary" says to
// nobody in particular are content; messages to a recipient are calls and neither. No part of a header or a mark is
// ever emitted.
class HarmonyParser {
 public:
  // `prompt`: the rendered prompt; what stands behind its last <|start|> begins the first message's header.
  explicit HarmonyParser(std::string_view prompt);

  // The text with its control tokens rendered.
  ReasoningDelta push(std::string_view text);
  // The stream ended: what was held back. A stream without any message is content as a whole.
  ReasoningDelta finish();

  // Complete calls so far; after finish() the one that was being written too.
  const std::vector<HarmonyCall>& calls() const { return calls_; }

 private:
  enum class State { kHeader, kReasoning, kContent, kCall, kPlain };

  bool advance(ReasoningDelta& out);
  bool advance_header(ReasoningDelta& out);
  bool advance_body(ReasoningDelta& out);
  void begin_message(std::string_view header);
  void give(std::string_view text, ReasoningDelta& out);

  State state_ = State::kHeader;
  bool seen_message_ = false;
  size_t from_prompt_ = 0;  // bytes of held_ that the prompt wrote
  std::string held_;
  HarmonyCall call_;
  std::vector<HarmonyCall> calls_;
};

}  // namespace exo::chat
