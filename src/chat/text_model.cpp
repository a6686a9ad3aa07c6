#include "chat/text_model.h"

#include "base/log.h"
#include "chat/default_template.h"
#include "text/stated_ids.h"

namespace exo::chat {

Result<std::shared_ptr<const TextModel>> load_text_model(const formats::GgufMetadata& metadata) {
  auto model = std::make_shared<TextModel>();
  EXO_TRY(auto vocabulary, text::load_tokenizer(metadata));
  EXO_TRY(std::shared_ptr<const text::Tokenizer> tokenizer, text::with_stated_ids(std::move(vocabulary), metadata));
  model->tokenizer = tokenizer;
  const auto& special = tokenizer->special();
  if (special.bos) model->bos_token = tokenizer->piece(*special.bos, true);
  if (special.eos) model->eos_token = tokenizer->piece(*special.eos, true);

  const auto source = metadata.string("tokenizer.chat_template");
  model->has_own_template = source.has_value();
  auto parsed =
      ChatTemplate::parse(source ? std::string_view(*source) : std::string_view(default_template_source()));
  if (!parsed) return std::unexpected(std::move(parsed).error().with_context("the model's chat template"));
  model->rerank_template = metadata.string("tokenizer.chat_template.rerank").value_or("");
  model->reasoning = detect_reasoning(source ? std::string_view(*source) : std::string_view());
  model->reasoning_tokens = reasoning_tokens(model->reasoning, *tokenizer);
  model->chat_template = std::make_shared<const ChatTemplate>(std::move(*parsed));
  return model;
}

}  // namespace exo::chat
