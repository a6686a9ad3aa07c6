#include "chat/rerank_prompt.h"

#include <gtest/gtest.h>

#include "text/tiny_vocabulary.h"

namespace exo::chat {
namespace {

std::vector<int32_t> pair_of(formats::GgufMetadata metadata, std::string_view query, std::string_view document) {
  const auto model = load_text_model(metadata);
  EXPECT_TRUE(model.has_value());
  std::vector<int32_t> ids;
  for (const TokenId id : rerank_tokens(**model, query, document)) ids.push_back(id.value);
  return ids;
}

TEST(RerankTokens, PairsAsTheVocabularyWritesThem) {
  auto metadata = text::tiny_spm_metadata();  // <s> is 1, </s> is 2
  metadata.values["tokenizer.ggml.add_eos_token"] = true;
  const auto tokenizer = text::load_tokenizer(metadata);
  const int32_t a = (*tokenizer)->encode("a", {.add_special = false})[0].value;
  const int32_t abc = (*tokenizer)->encode("abc", {.add_special = false})[0].value;
  EXPECT_EQ(pair_of(metadata, "a", "abc"), (std::vector<int32_t>{1, a, 2, 2, abc, 2}));
  metadata.values["tokenizer.ggml.add_eos_token"] = false;
  EXPECT_EQ(pair_of(metadata, "a", "abc"), (std::vector<int32_t>{1, a, abc}));
}

TEST(RerankTokens, TheModelsOwnTemplate) {
  auto metadata = text::tiny_spm_metadata();
  metadata.values["tokenizer.chat_template.rerank"] = std::string("b{query} {document}c");
  const auto tokenizer = text::load_tokenizer(metadata);
  std::vector<int32_t> expected;
  for (const TokenId id : (*tokenizer)->encode("b{document} ac", {.add_special = true}))
    expected.push_back(id.value);
  EXPECT_EQ(pair_of(metadata, "{document}", "a"), expected);
}

}  // namespace
}  // namespace exo::chat
