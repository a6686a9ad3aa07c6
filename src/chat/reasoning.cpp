#include "chat/reasoning.h"

#include <algorithm>
#include <utility>

#include "chat/stop_strings.h"

namespace exo::chat {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

size_t leading_space(std::string_view text) { return std::min(text.find_first_not_of(kSpace), text.size()); }

size_t trailing_space(std::string_view text) {
  size_t last = text.find_last_not_of(kSpace);
  return last == text.npos ? text.size() : text.size() - last - 1;
}

}  // namespace

ReasoningParser::ReasoningParser(ReasoningTags tags, bool opened_by_prompt)
    : tags_(std::move(tags)),
      state_(opened_by_prompt ? State::kAfterOpen : State::kStart),
      may_repeat_open_(opened_by_prompt) {
  if (tags_.open.empty() || tags_.close.empty()) state_ = State::kContent;
}

ReasoningDelta ReasoningParser::push(std::string_view text) {
  ReasoningDelta out;
  held_ += text;
  while (advance(out)) {
  }
  return out;
}

bool ReasoningParser::advance(ReasoningDelta& out) {
  switch (state_) {
    case State::kStart:
      return advance_start(out);
    case State::kAfterOpen:
      return advance_after_open();
    case State::kReasoning:
      return advance_reasoning(out);
    case State::kAfterClose:
      return advance_after_close();
    case State::kContent:
      advance_content(out);
      return false;
  }
  return false;
}

bool ReasoningParser::advance_start(ReasoningDelta&) {
  std::string_view rest = std::string_view(held_).substr(leading_space(held_));
  if (rest.starts_with(tags_.open)) {
    held_.erase(0, held_.size() - rest.size() + tags_.open.size());
    state_ = State::kAfterOpen;
    return true;
  }
  if (std::string_view(tags_.open).starts_with(rest)) return false;  // nothing yet, or a beginning of the tag
  if (!tags_.content_open.empty()) {
    if (rest.starts_with(tags_.content_open)) {
      state_ = State::kAfterClose;  // an answer without reasoning
      return true;
    }
    if (std::string_view(tags_.content_open).starts_with(rest)) return false;
  }
  state_ = State::kContent;
  return true;
}

bool ReasoningParser::advance_after_open() {
  held_.erase(0, leading_space(held_));
  if (held_.empty()) return false;
  if (may_repeat_open_) {
    if (held_.starts_with(tags_.open)) {
      held_.erase(0, tags_.open.size());
      may_repeat_open_ = false;
      return true;
    }
    if (std::string_view(tags_.open).starts_with(held_)) return false;
  }
  state_ = State::kReasoning;
  return true;
}

bool ReasoningParser::advance_reasoning(ReasoningDelta& out) {
  std::string_view held = held_;
  if (size_t close = held.find(tags_.close); close != held.npos) {
    std::string_view last = held.substr(0, close);
    out.reasoning += last.substr(0, last.size() - trailing_space(last));
    held_.erase(0, close + tags_.close.size());
    state_ = State::kAfterClose;
    return true;
  }
  // White space is held too: it is dropped if the closing tag follows.
  size_t kept = held_suffix(held, tags_.close);
  kept += trailing_space(held.substr(0, held.size() - kept));
  out.reasoning += held.substr(0, held.size() - kept);
  held_.erase(0, held_.size() - kept);
  return false;
}

bool ReasoningParser::advance_after_close() {
  held_.erase(0, leading_space(held_));
  if (held_.empty()) return false;
  if (!tags_.content_open.empty()) {
    if (held_.starts_with(tags_.content_open)) {
      held_.erase(0, tags_.content_open.size());
      held_.erase(0, leading_space(held_));
      tags_.content_open.clear();
      return true;
    }
    if (std::string_view(tags_.content_open).starts_with(held_)) return false;
  }
  state_ = State::kContent;
  return true;
}

void ReasoningParser::advance_content(ReasoningDelta& out) {
  const std::string& close = tags_.content_close;
  for (size_t at = 0; !close.empty() && (at = held_.find(close, at)) != held_.npos;) held_.erase(at, close.size());
  const size_t kept = close.empty() ? 0 : held_suffix(held_, close);
  out.content += std::string_view(held_).substr(0, held_.size() - kept);
  held_.erase(0, held_.size() - kept);
}

ReasoningDelta ReasoningParser::finish() {
  ReasoningDelta out;
  std::string rest = std::exchange(held_, {});
  if (in_reasoning()) {
    out.reasoning = std::move(rest);
  } else {
    out.content = std::move(rest);
  }
  state_ = State::kContent;
  return out;
}

bool ReasoningParser::prompt_opens(std::string_view prompt, const ReasoningTags& tags) {
  if (tags.open.empty()) return false;
  prompt.remove_suffix(trailing_space(prompt));
  return prompt.ends_with(tags.open);
}

}  // namespace exo::chat
