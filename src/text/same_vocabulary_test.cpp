#include "text/same_vocabulary.h"

#include <gtest/gtest.h>

#include "text/tiny_vocabulary.h"

namespace exo::text {
namespace {

// tiny_bpe_metadata() with other tokens at its end.
std::unique_ptr<Tokenizer> with_more(const std::vector<std::string>& more) {
  auto metadata = tiny_bpe_metadata();
  auto& tokens = std::get<std::vector<std::string>>(metadata.values.at("tokenizer.ggml.tokens"));
  auto& types = std::get<std::vector<int64_t>>(metadata.values.at("tokenizer.ggml.token_type"));
  auto& scores = std::get<std::vector<double>>(metadata.values.at("tokenizer.ggml.scores"));
  for (const auto& text : more) {
    tokens.push_back(text);
    types.push_back(5);
    scores.push_back(0);
  }
  auto tokenizer = load_tokenizer(metadata);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

TEST(SameVocabulary, EqualOnesShareEverything) {
  const auto a = with_more({}), b = with_more({});
  EXPECT_EQ(*shared_vocabulary(*a, *b), a->vocabulary_size());
}

TEST(SameVocabulary, PaddingBeyondTheShorterDoesNotMatter) {
  const auto shorter = with_more({}), longer = with_more({"[PAD266]", "<unused1>", "<|reserved_3|>"});
  EXPECT_EQ(*shared_vocabulary(*shorter, *longer), shorter->vocabulary_size());
  EXPECT_EQ(*shared_vocabulary(*longer, *shorter), shorter->vocabulary_size());
}

TEST(SameVocabulary, WhereTheyPartIsSaid) {
  const auto tiny = with_more({}), more = with_more({"[PAD266]", "word"});
  const auto longer = shared_vocabulary(*tiny, *more);
  ASSERT_FALSE(longer);
  EXPECT_NE(longer.error().message.find("'word'"), std::string::npos) << longer.error().message;
  const auto other = load_tokenizer(tiny_spm_metadata());
  ASSERT_TRUE(other);
  const auto different = shared_vocabulary(*tiny, **other);
  ASSERT_FALSE(different);
  EXPECT_NE(different.error().message.find("token 0"), std::string::npos) << different.error().message;
}

}  // namespace
}  // namespace exo::text
