#pragma once
// Separates a model's reasoning (`<think>…</think>`) from its answer while the text streams.

#include <string>
#include <string_view>

namespace exo::chat {

struct ReasoningTags {
  std::string open = "<think>";
  std::string close = "</think>";
  // What some families put around the answer itself; empty: nothing. Dropped like the tags.
  std::string content_open = {}, content_close = {};
};

struct ReasoningDelta {
  std::string reasoning;
  std::string content;
};

// Belongs to one stream and one thread. No part of a tag is ever emitted; text that may be the beginning of one is
// held back until it is decided. White space around the tags is dropped: directly inside them, and between the
// closing tag and the answer. Reasoning is looked for at the beginning of the answer only (after white space);
// later tags are ordinary content.
class ReasoningParser {
 public:
  // `opened_by_prompt`: the prompt ends inside the opening tag's block, so the stream begins with reasoning; the
  // model may still repeat the opening tag.
  ReasoningParser(ReasoningTags tags, bool opened_by_prompt);

  ReasoningDelta push(std::string_view text);
  // The stream ended: what was held back, as what it then is.
  ReasoningDelta finish();

  bool in_reasoning() const { return state_ == State::kReasoning || state_ == State::kAfterOpen; }
  // Only content can follow.
  bool in_content() const { return state_ == State::kContent; }

  // Whether a rendered prompt leaves the reasoning block open: its last opening tag has no closing tag behind it
  // and only white space follows.
  static bool prompt_opens(std::string_view prompt, const ReasoningTags& tags);

 private:
  enum class State {
    kStart,      // before anything but white space
    kAfterOpen,  // in the block, no reasoning yet: white space and (if the prompt opened it) the tag are dropped
    kReasoning,
    kAfterClose,  // behind the block, no answer yet
    kContent,
  };

  // One step with what is held; false when more text is needed.
  bool advance(ReasoningDelta& out);
  bool advance_start(ReasoningDelta& out);
  bool advance_after_open();
  bool advance_reasoning(ReasoningDelta& out);
  bool advance_after_close();
  void advance_content(ReasoningDelta& out);

  ReasoningTags tags_;
  State state_;
  bool may_repeat_open_;
  std::string held_;
};

}  // namespace exo::chat
