// Tokenizers that were trained with Hugging Face's tokenizers and SentencePiece, and what these make of some texts;
// testdata/make.py wrote them.

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value_to.hpp>
#include <fstream>
#include <iterator>

#include "formats/sentencepiece_model.h"
#include "text/character_map.h"
#include "text/huggingface_tokenizer.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

namespace json = boost::json;

std::string read_file(const std::string& name) {
  std::ifstream file(std::string(EXO_SOURCE_DIR) + "/src/text/testdata/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// NAME.json is a tokenizer.json, NAME.model SentencePiece's.
Result<std::unique_ptr<Tokenizer>> load(const std::string& name) {
  if (const std::string text = read_file(name + ".json"); !text.empty()) return load_tokenizer_json(text);
  const std::string bytes = read_file(name + ".model");
  EXO_TRY(const auto model, formats::SentencePieceModel::parse(std::as_bytes(std::span(bytes))));
  EXO_TRY(auto metadata, formats::gguf_tokenizer_metadata(model));
  metadata.values["tokenizer.ggml.add_bos_token"] = false;
  metadata.values["tokenizer.ggml.add_eos_token"] = false;
  return load_tokenizer(metadata);
}

class Golden : public testing::TestWithParam<const char*> {};

TEST_P(Golden, SameTokensAndSameTextBack) {
  auto loaded = load(GetParam());
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const std::shared_ptr<const Tokenizer> tokenizer = std::move(*loaded);
  const bool sentencepiece = std::string_view(GetParam()).starts_with("sentencepiece");
  std::ifstream lines(std::string(EXO_SOURCE_DIR) + "/src/text/testdata/" + GetParam() + ".golden");
  int cases = 0;
  for (std::string line; std::getline(lines, line); ++cases) {
    const json::value value = json::parse(line);
    const std::string text = json::value_to<std::string>(value.at("text"));
    const auto tokens = tokenizer->encode(text, {.add_special = true, .parse_special = !sentencepiece});
    std::vector<int32_t> ids;
    for (const TokenId token : tokens) ids.push_back(token.value);
    EXPECT_EQ(ids, json::value_to<std::vector<int32_t>>(value.at("ids"))) << text;

    const std::string decoded = tokenizer->decode(tokens, true);
    // SentencePiece shows unknown tokens in a way of its own and drops all spaces in front.
    if (!sentencepiece) {
      EXPECT_EQ(decoded, json::value_to<std::string>(value.at("decoded"))) << text;
    }
    Detokenizer stream(tokenizer, true);
    std::string streamed;
    for (const TokenId token : tokens) streamed += stream.push(token);
    EXPECT_EQ(streamed + stream.finish(), decoded) << text;
  }
  EXPECT_GT(cases, 30);
}

INSTANTIATE_TEST_SUITE_P(Text, Golden,
                         testing::Values("byte_level", "byte_fallback", "word_suffix", "wordpiece", "wordlevel",
                                         "metaspace", "character_map", "sentencepiece_bpe",
                                         "sentencepiece_unigram"));

TEST(HuggingFaceConfig, AddedTokensAndSpecialNames) {
  auto loaded = load_tokenizer_json(read_file("byte_level.json"), R"({
    "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null,
    "added_tokens_decoder": {"500": {"content": "<late>", "special": true},
                             "501": {"content": "<word>", "special": false, "rstrip": true, "normalized": false}},
    "add_bos_token": true, "add_eos_token": true})");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const Tokenizer& tokenizer = **loaded;
  EXPECT_EQ(tokenizer.special().bos, tokenizer.find_token("<s>"));
  EXPECT_EQ(tokenizer.vocabulary_size(), 502);
  const auto tokens = tokenizer.encode("<word>  <late>", {.add_special = true, .parse_special = true});
  EXPECT_EQ(tokens,
            (std::vector<TokenId>{*tokenizer.special().bos, TokenId(501), TokenId(500), *tokenizer.special().eos}));
  EXPECT_TRUE(tokenizer.is_control(TokenId(500)));
  EXPECT_FALSE(tokenizer.is_control(TokenId(501)));
  EXPECT_FALSE(load_tokenizer_json(read_file("byte_level.json"), R"({"added_tokens_decoder": {"x": {}}})"));
  EXPECT_FALSE(load_tokenizer_json(read_file("byte_level.json"), R"({"added_tokens_decoder": {"7": 1}})"));
}

// GGUF's form of BERT's vocabulary: ▁ where a word begins, nothing where it goes on.
TEST(GgufWordPiece, LongestTokensOfCleanedWords) {
  formats::GgufMetadata metadata;
  metadata.values["tokenizer.ggml.model"] = std::string("bert");
  metadata.values["tokenizer.ggml.tokens"] = std::vector<std::string>{
      "[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁un", "▁unable", "able", "▁,", "▁中", "▁cafe", "s"};
  metadata.values["tokenizer.ggml.token_type"] = std::vector<int64_t>{3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 1};
  metadata.values["tokenizer.ggml.unknown_token_id"] = int64_t{1};
  metadata.values["tokenizer.ggml.bos_token_id"] = int64_t{2};
  metadata.values["tokenizer.ggml.seperator_token_id"] = int64_t{3};
  const auto tokenizer = load_tokenizer(metadata);
  ASSERT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  const auto ids = [&](std::string_view text, bool special) {
    std::vector<int32_t> result;
    for (const TokenId id : (*tokenizer)->encode(text, {.add_special = special})) result.push_back(id.value);
    return result;
  };
  EXPECT_EQ(ids("unable", true), (std::vector<int32_t>{2, 5, 3}));
  EXPECT_EQ(ids("Unables,uns", false), (std::vector<int32_t>{5, 10, 7, 4, 10}));
  EXPECT_EQ(ids(" CAFÉ\x01s\u3000中中", false), (std::vector<int32_t>{9, 10, 8, 8}));
  EXPECT_EQ(ids("unablex able", false), (std::vector<int32_t>{1, 1}));  // "able" begins no word
  EXPECT_EQ((*tokenizer)->decode((*tokenizer)->encode("unables", {}), false), " unables");
}

TEST(CharacterMap, RefusesWhatDoesNotFit) {
  for (const std::string_view blob :
       {std::string_view(""), std::string_view("\x04\0\0", 3), std::string_view("\x08\0\0\0abcd", 8),
        std::string_view("\x03\0\0\0abcd", 8), std::string_view("\x04\0\0\0abcd\xFF", 9)})
    EXPECT_FALSE(CharacterMap::parse(blob).has_value()) << blob.size();
  // A trie that points outside itself finds nothing.
  const auto wild = CharacterMap::parse(std::string_view("\x04\0\0\0\xFF\xFF\xFF\xFFx", 9));
  ASSERT_TRUE(wild.has_value());
  EXPECT_EQ(wild->apply("añ😀"), "añ😀");
}

}  // namespace
}  // namespace exo::text
