#include "chat/harmony.h"

#include <algorithm>
#include <utility>

#include "chat/stop_strings.h"

namespace exo::chat {
namespace {

constexpr std::string_view kStart = "<|start|>", kMessage = "<|message|>", kChannel = "<|channel|>",
                           kConstrain = "<|constrain|>";
constexpr std::string_view kEnds[] = {"<|end|>", "<|return|>", "<|call|>", kStart, kChannel};
// No header is longer: text that goes on without a mark is no harmony at all.
constexpr size_t kMaxHeaderBytes = 512;

struct Mark {
  size_t begin = std::string_view::npos, bytes = 0;
};

Mark first_end(std::string_view text) {
  Mark first;
  for (const std::string_view mark : kEnds) {
    const size_t at = text.find(mark);
    if (at < first.begin) first = {at, mark.size()};
  }
  return first;
}

}  // namespace

HarmonyParser::HarmonyParser(std::string_view prompt) {
  const size_t start = prompt.rfind(kStart);
  if (start == prompt.npos) return;
  held_ = prompt.substr(start + kStart.size());
  from_prompt_ = held_.size();
}

ReasoningDelta HarmonyParser::push(std::string_view text) {
  ReasoningDelta out;
  held_ += text;
  while (advance(out)) {
  }
  return out;
}

bool HarmonyParser::advance(ReasoningDelta& out) {
  if (state_ == State::kHeader) return advance_header(out);
  if (state_ != State::kPlain) return advance_body(out);
  out.content += std::exchange(held_, {});
  return false;
}

bool HarmonyParser::advance_header(ReasoningDelta&) {
  const std::string_view held = held_;
  if (const size_t message = held.find(kMessage); message != held.npos) {
    begin_message(held.substr(0, message));
    held_.erase(0, message + kMessage.size());
    from_prompt_ = 0;
    return true;
  }
  if (seen_message_ || held.size() - from_prompt_ < kMaxHeaderBytes || held.find(kChannel) != held.npos)
    return false;
  held_.erase(0, from_prompt_);
  state_ = State::kPlain;
  return true;
}

// "assistant<|channel|>commentary to=functions.f <|constrain|>json": only the channel and the recipient matter, and
// the recipient may stand on either side of the channel.
void HarmonyParser::begin_message(std::string_view header) {
  seen_message_ = true;
  if (const size_t start = header.rfind(kStart); start != header.npos) header.remove_prefix(start + kStart.size());
  std::string_view channel;
  if (const size_t at = header.find(kChannel); at != header.npos) {
    channel = header.substr(at + kChannel.size());
    channel = channel.substr(0, channel.find_first_of(" <"));
  }
  call_ = {};
  if (const size_t to = header.find("to="); to != header.npos) {
    const std::string_view rest = header.substr(to + 3);
    call_.recipient = rest.substr(0, rest.find_first_of(" <\n"));
  }
  state_ = !call_.recipient.empty() ? State::kCall : channel == "analysis" ? State::kReasoning : State::kContent;
}

void HarmonyParser::give(std::string_view text, ReasoningDelta& out) {
  std::string& to = state_ == State::kReasoning ? out.reasoning : state_ == State::kCall ? call_.body : out.content;
  to += text;
}

bool HarmonyParser::advance_body(ReasoningDelta& out) {
  const std::string_view held = held_;
  const Mark end = first_end(held);
  size_t kept = 0;
  if (end.begin == held.npos)
    for (const std::string_view mark : kEnds) kept = std::max(kept, held_suffix(held, mark));
  give(held.substr(0, std::min(end.begin, held.size() - kept)), out);
  if (end.begin == held.npos) {
    held_.erase(0, held_.size() - kept);
    return false;
  }
  if (state_ == State::kCall) calls_.push_back(std::exchange(call_, {}));
  // A channel mark without a start begins the next header itself.
  const bool channel = held.substr(end.begin, end.bytes) == kChannel;
  held_.erase(0, end.begin + (channel ? 0 : end.bytes));
  state_ = State::kHeader;
  return true;
}

ReasoningDelta HarmonyParser::finish() {
  ReasoningDelta out;
  if (state_ == State::kHeader && !seen_message_ && held_.find(kChannel) == held_.npos) {
    state_ = State::kPlain;
    held_.erase(0, from_prompt_);
  }
  if (state_ != State::kHeader) give(std::exchange(held_, {}), out);
  if (state_ == State::kCall) calls_.push_back(std::exchange(call_, {}));
  held_.clear();
  state_ = State::kPlain;
  return out;
}

}  // namespace exo::chat
