#include "api/answer.h"

#include <algorithm>

namespace exo::api {

Answer::Answer(std::shared_ptr<const text::Tokenizer> tokenizer, const AnswerOptions& options,
               DeltaCallback on_delta, EndCallback on_end)
    : detokenizer_(std::move(tokenizer), false,
                   options.reasoning ? options.reasoning_tokens : std::vector<TokenId>()),
      reasoning_(options.reasoning),
      reasoning_tokens_(options.reasoning_tokens),
      stops_(options.stop),
      on_delta_(std::move(on_delta)),
      on_end_(std::move(on_end)) {}

void Answer::take_content(std::string_view content) {
  auto step = stops_.push(content);
  delta_.content += step.text;
  stopped_ = stopped_ || step.stopped;
}

void Answer::take_text(std::string text, bool last) {
  if (!reasoning_) return take_content(text);
  auto split = reasoning_->push(text);
  delta_.reasoning += split.reasoning;
  take_content(split.content);
  if (!last) return;
  split = reasoning_->finish();
  delta_.reasoning += split.reasoning;
  take_content(split.content);
}

void Answer::flush() {
  if (delta_.content.empty() && delta_.reasoning.empty()) return;
  const auto callback =
      on_delta_;  // a copy: writing to a client that is gone ends this answer from inside the call
  callback(std::exchange(delta_, {}));
}

void Answer::on_token(const SampledToken& token) {
  if (stopped_ || ended_) return;
  delta_.tokens.push_back(token);
  std::string text = detokenizer_.push(token.token);
  const auto is_mark = [&] {
    return std::find(reasoning_tokens_.begin(), reasoning_tokens_.end(), token.token) != reasoning_tokens_.end();
  };
  if (reasoning_ && !reasoning_->expects_marks() && is_mark()) text.clear();
  take_text(std::move(text), false);
  flush();
  // Cancelling ends the request at once: on_finish comes from inside this call.
  if (auto cancel = stopped_ ? std::exchange(cancel_, nullptr) : std::function<void()>()) cancel();
}

void Answer::on_finish(wire::FinishReason reason, const std::optional<Error>& error,
                       const serve::RequestUsage& usage) {
  if (std::exchange(ended_, true)) return;
  if (!stopped_) {
    take_text(detokenizer_.finish(), true);
    if (!stopped_) delta_.content += stops_.finish();
    if (!delta_.tokens.empty() || !delta_.content.empty() || !delta_.reasoning.empty()) {
      on_delta_(std::exchange(delta_, {}));
    }
  }
  AnswerEnd end = AnswerEnd::kError;
  if (stopped_ || reason == wire::FinishReason::kStop)
    end = AnswerEnd::kStop;
  else if (reason == wire::FinishReason::kLength)
    end = AnswerEnd::kLength;
  else if (reason == wire::FinishReason::kCancelled)
    end = AnswerEnd::kCancelled;
  // The callbacks hold the exchange, which holds this: the circle is cut here.
  on_delta_ = nullptr;
  cancel_ = nullptr;
  std::exchange(on_end_, nullptr)(end, error, usage);
}

}  // namespace exo::api
