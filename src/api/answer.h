#pragma once
// One choice of one request on its way back: tokens → text → reasoning and content → stop strings → the client.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "chat/reasoning_format.h"
#include "chat/stop_strings.h"
#include "serve/front.h"
#include "text/tokenizer.h"

namespace exo::api {

// What became known since the last delta.
struct AnswerDelta {
  std::string content, reasoning;
  std::vector<SampledToken> tokens;  // those that were consumed meanwhile; for log-probabilities
};

enum class AnswerEnd { kStop, kLength, kCancelled, kError };

struct AnswerOptions {
  std::vector<std::string> stop;
  std::optional<chat::ReasoningSplitter> reasoning;  // without it reasoning stays in the content
  std::vector<TokenId> reasoning_tokens;             // control tokens that the splitter wants to see
};

class Answer : public serve::RequestObserver {
 public:
  using DeltaCallback = std::function<void(AnswerDelta)>;
  using EndCallback = std::function<void(AnswerEnd, const std::optional<Error>&, const serve::RequestUsage&)>;

  Answer(std::shared_ptr<const text::Tokenizer> tokenizer, const AnswerOptions& options, DeltaCallback on_delta,
         EndCallback on_end);

  // Stops the request once a stop string was found; set after Front::start.
  void set_cancel(std::function<void()> cancel) { cancel_ = std::move(cancel); }

  void on_token(const SampledToken& token) override;
  void on_finish(wire::FinishReason reason, const std::optional<Error>& error,
                 const serve::RequestUsage& usage) override;

 private:
  void take_text(std::string text, bool last);
  void take_content(std::string_view content);
  void flush();

  text::Detokenizer detokenizer_;
  std::optional<chat::ReasoningSplitter> reasoning_;
  std::vector<TokenId> reasoning_tokens_;
  chat::StopMatcher stops_;
  DeltaCallback on_delta_;
  EndCallback on_end_;
  std::function<void()> cancel_;
  AnswerDelta delta_;
  bool stopped_ = false, ended_ = false;
};

}  // namespace exo::api
