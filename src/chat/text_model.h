#pragma once
// The textual side of one model: what turns messages into tokens and tokens into text. Read from the file's header
// alone, so that a node which holds no weights of a model can still serve it.

#include <memory>
#include <string>

#include "base/result.h"
#include "chat/chat_template.h"
#include "chat/reasoning_format.h"
#include "formats/gguf.h"
#include "text/tokenizer.h"

namespace exo::chat {

// Immutable; shared between requests.
struct TextModel {
  std::shared_ptr<const text::Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;  // the model's own, or the fallback of default_template.h
  bool has_own_template = false;
  ReasoningFormat reasoning;
  std::vector<TokenId> reasoning_tokens;  // control tokens to be rendered for it
  std::string rerank_template;            // of models that rank: see rerank_prompt.h; empty: none
  std::string bos_token, eos_token;       // as templates see them; empty when the vocabulary has none
};

// kUnsupported or kCorrupt when the tokenizer or the template cannot be used; the message names the cause.
Result<std::shared_ptr<const TextModel>> load_text_model(const formats::GgufMetadata& metadata);

}  // namespace exo::chat
