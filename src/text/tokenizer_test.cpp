#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <random>

#include "text/bpe.h"
#include "text/tiny_vocabulary.h"
#include "text/vocabulary.h"

namespace exo::text {
namespace {

std::unique_ptr<Tokenizer> load(const formats::GgufMetadata& metadata) {
  auto tokenizer = load_tokenizer(metadata);
  EXPECT_TRUE(tokenizer.has_value()) << tokenizer.error().message;
  return tokenizer ? std::move(*tokenizer) : nullptr;
}

std::vector<int32_t> ids(const Tokenizer& tokenizer, std::string_view text,
                         EncodeOptions options = {.add_special = false}) {
  std::vector<int32_t> result;
  for (const TokenId id : tokenizer.encode(text, options)) result.push_back(id.value);
  return result;
}

constexpr int32_t kHello = kTinyBpeFirstMerged + 3, kSpaceHello = kTinyBpeFirstMerged + 4,
                  kImEnd = kTinyBpeFirstMerged + 7, kTool = kTinyBpeFirstMerged + 8, kBos = kTinyBpeFirstMerged + 9;

TEST(BpeTokenizer, MergesByRank) {
  const auto tokenizer = load(tiny_bpe_metadata());
  EXPECT_EQ(ids(*tokenizer, "hello hello"), (std::vector<int32_t>{kHello, kSpaceHello}));
  EXPECT_EQ(ids(*tokenizer, "hell"), (std::vector<int32_t>{kTinyBpeFirstMerged + 2}));
  EXPECT_EQ(ids(*tokenizer, "lll"), (std::vector<int32_t>{kTinyBpeFirstMerged + 1, 'l'}));  // leftmost first
  EXPECT_EQ(ids(*tokenizer, "é"), (std::vector<int32_t>{0xC3, 0xA9}));
  EXPECT_EQ(ids(*tokenizer, ""), (std::vector<int32_t>{}));
}

TEST(BpeTokenizer, SpecialTokens) {
  const auto tokenizer = load(tiny_bpe_metadata());
  EXPECT_EQ(ids(*tokenizer, "hello", {.add_special = true}), (std::vector<int32_t>{kBos, kHello}));
  EXPECT_EQ(ids(*tokenizer, "hello<|im_end|>", {.add_special = false, .parse_special = true}),
            (std::vector<int32_t>{kHello, kImEnd}));
  // Control tokens in a user's text stay text; user-defined ones are always tokens.
  EXPECT_EQ(ids(*tokenizer, "<|im_end|>").size(), 10u);
  EXPECT_EQ(ids(*tokenizer, "hello<tool>"), (std::vector<int32_t>{kHello, kTool}));
  EXPECT_EQ(tokenizer->special().bos, TokenId(kBos));
  EXPECT_EQ(tokenizer->special().eot, TokenId(kImEnd));
  EXPECT_EQ(tokenizer->special().end_of_generation, (std::vector<TokenId>{TokenId(kImEnd)}));
  EXPECT_TRUE(tokenizer->is_control(TokenId(kImEnd)));
  EXPECT_FALSE(tokenizer->is_control(TokenId(kTool)));
  EXPECT_EQ(tokenizer->find_token("<tool>"), TokenId(kTool));
  EXPECT_EQ(tokenizer->token_text(TokenId(kSpaceHello)), "Ġhello");
  EXPECT_TRUE(tokenizer->adds_bos());
}

TEST(BpeTokenizer, Decodes) {
  const auto tokenizer = load(tiny_bpe_metadata());
  const std::vector<TokenId> tokens = {TokenId(kBos),   TokenId(kSpaceHello), TokenId(kTool),
                                       TokenId(kImEnd), TokenId(9999),        TokenId(-1)};
  EXPECT_EQ(tokenizer->decode(tokens, false), " hello<tool>");
  EXPECT_EQ(tokenizer->decode(tokens, true), "<s> hello<tool><|im_end|>");
  EXPECT_EQ(tokenizer->piece(TokenId(0xC3), false), "\xC3");
}

TEST(BpeTokenizer, RoundTripsAnyText) {
  const auto tokenizer = load(tiny_bpe_metadata());
  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int j = 0; j < 40; ++j)
      text += std::array{"hello", " ", "in", "g", "\n", "é", "漢", "l", "<", "1"}[random() % 10];
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(text, {.add_special = false}), false), text);
  }
}

TEST(BpeTokenizer, InvalidUtf8BecomesReplacementCharacters) {
  const auto tokenizer = load(tiny_bpe_metadata());
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFF", {.add_special = false}), false), "a�");
}

TEST(BpeMerger, HeapAndScanAgree) {
  // The same word as one long word (heap) and as the scan over its parts that cannot merge across a separator.
  const auto metadata = tiny_bpe_metadata();
  auto vocabulary = Vocabulary::from_metadata(metadata, PieceForm::kByteAlphabet);
  ASSERT_TRUE(vocabulary.has_value());
  const std::vector<std::pair<std::string_view, std::string_view>> merges = {
      {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"Ġ", "hello"}, {"i", "n"}, {"in", "g"}};
  const auto merger = BpeMerger::from_merges(*vocabulary, merges, true, {});
  ASSERT_TRUE(merger.has_value());
  std::mt19937 random(11);
  BpeMerger::Scratch scratch;
  for (int i = 0; i < 100; ++i) {
    std::string whole;
    std::vector<TokenId> expected, actual;
    for (int part = 0; part < 8; ++part) {
      std::string word;
      for (int j = 0; j < 20; ++j) word += "helo ing"[random() % 8];
      word += '\x01';  // merges with nothing
      whole += word;
      merger->encode(word, scratch, expected);
    }
    merger->encode(whole, scratch, actual);
    ASSERT_EQ(actual, expected);
  }
}

TEST(BpeMerger, MergeResultsThatAreNoTokensComeOutInParts) {
  auto metadata = tiny_bpe_metadata();
  auto merges = std::get<std::vector<std::string>>(metadata.values["tokenizer.ggml.merges"]);
  merges.push_back("x y");  // "xy" is not in the vocabulary
  metadata.values["tokenizer.ggml.merges"] = merges;
  EXPECT_EQ(ids(*load(metadata), "xyz"), (std::vector<int32_t>{'x', 'y', 'z'}));
}

TEST(SentencePieceTokenizer, MergesByScore) {
  const auto tokenizer = load(tiny_spm_metadata());
  enum { kSpace = kTinySpmFirstPiece, kA, kB, kC, kSpaceA, kAb, kAbc, kBc, kSpaceAbc, kNewlines };
  // ▁abc: "bc" (-1) merges first, then ▁a (-2); "▁a bc" is ▁abc (-5).
  EXPECT_EQ(ids(*tokenizer, "abc"), (std::vector<int32_t>{kSpaceAbc}));
  EXPECT_EQ(ids(*tokenizer, "abb"), (std::vector<int32_t>{kSpaceA, kB, kB}));
  EXPECT_EQ(ids(*tokenizer, "a  a"), (std::vector<int32_t>{kSpaceA, kSpace, kSpaceA}));
  // The prefix space comes back after an added token; what is no piece becomes bytes.
  EXPECT_EQ(ids(*tokenizer, "a\n\na"), (std::vector<int32_t>{kSpaceA, kNewlines, kSpaceA}));
  EXPECT_EQ(ids(*tokenizer, "é"), (std::vector<int32_t>{kSpace, 3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(ids(*tokenizer, "a", {.add_special = true}), (std::vector<int32_t>{1, kSpaceA}));
  EXPECT_EQ(ids(*tokenizer, "", {.add_special = true}), (std::vector<int32_t>{1}));
}

TEST(SentencePieceTokenizer, ByteAndControlTokensAreNotReachedByText) {
  const auto tokenizer = load(tiny_spm_metadata());
  for (const int32_t id : ids(*tokenizer, "<s></s><unk>")) EXPECT_GE(id, 3);
  EXPECT_EQ(ids(*tokenizer, "<0x41>").size(), 7u);
  EXPECT_EQ(ids(*tokenizer, "</s>", {.add_special = false, .parse_special = true}), (std::vector<int32_t>{2}));
}

TEST(SentencePieceTokenizer, DecodingDropsThePrefixSpaceOnce) {
  const auto tokenizer = load(tiny_spm_metadata());
  EXPECT_TRUE(tokenizer->strips_leading_space());
  const auto tokens = tokenizer->encode("a  abc é", {.add_special = true});
  EXPECT_EQ(tokenizer->decode(tokens, false), "a  abc é");
  EXPECT_EQ(tokenizer->decode(tokens, true), "<s> a  abc é");
}

TEST(SentencePieceTokenizer, WithoutPrefix) {
  auto metadata = tiny_spm_metadata();
  metadata.values["tokenizer.ggml.add_space_prefix"] = false;
  const auto tokenizer = load(metadata);
  EXPECT_EQ(ids(*tokenizer, "a"), (std::vector<int32_t>{kTinySpmFirstPiece + 1}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode(" a", {}), false), " a");
}

TEST(Detokenizer, NeverEndsInsideACharacter) {
  const std::shared_ptr<const Tokenizer> tokenizer = load(tiny_bpe_metadata());
  Detokenizer stream(tokenizer);
  std::string shown;
  for (const char byte : std::string_view("a😀é")) {
    const std::string now = stream.push(TokenId(static_cast<uint8_t>(byte)));
    EXPECT_TRUE(now.empty() || now == "a" || now == "😀" || now == "é") << now;
    shown += now;
  }
  EXPECT_EQ(shown, "a😀é");
  EXPECT_EQ(stream.finish(), "");
}

TEST(Detokenizer, InvalidAndCutBytes) {
  const std::shared_ptr<const Tokenizer> tokenizer = load(tiny_bpe_metadata());
  Detokenizer stream(tokenizer);
  EXPECT_EQ(stream.push(TokenId(0xF0)), "");
  EXPECT_EQ(stream.push(TokenId(0x9F)), "");
  EXPECT_EQ(stream.push(TokenId('x')), "�x");
  EXPECT_EQ(stream.push(TokenId(0x80)), "�");
  EXPECT_EQ(stream.push(TokenId(0xE2)), "");
  EXPECT_EQ(stream.push(TokenId(kImEnd)), "");
  EXPECT_EQ(stream.finish(), "�");
}

TEST(Detokenizer, AgreesWithDecode) {
  const std::shared_ptr<const Tokenizer> tokenizer = load(tiny_spm_metadata());
  std::mt19937 random(3);
  for (int i = 0; i < 300; ++i) {
    std::vector<TokenId> tokens;
    for (int j = 0; j < 12; ++j) tokens.push_back(TokenId(static_cast<int32_t>(random() % 270)));
    Detokenizer stream(tokenizer);
    std::string shown;
    for (const TokenId token : tokens) shown += stream.push(token);
    shown += stream.finish();
    EXPECT_EQ(shown, tokenizer->decode(tokens, false));
  }
}

TEST(LoadTokenizer, NamesWhatItDoesNotKnow) {
  auto metadata = tiny_bpe_metadata();
  metadata.values["tokenizer.ggml.pre"] = std::string("martian");
  auto result = load_tokenizer(metadata);
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kUnsupported);
  EXPECT_NE(result.error().message.find("martian"), std::string::npos);
  metadata.values["tokenizer.ggml.model"] = std::string("runes");
  EXPECT_NE(load_tokenizer(metadata).error().message.find("runes"), std::string::npos);
  EXPECT_EQ(load_tokenizer({}).error().code, ErrorCode::kNotFound);
}

TEST(LoadTokenizer, RefusesHostileMetadata) {
  const auto refused = [](std::string key, formats::GgufValue value) {
    auto metadata = tiny_bpe_metadata();
    metadata.values[key] = std::move(value);
    auto result = load_tokenizer(metadata);
    return !result.has_value() && result.error().code == ErrorCode::kCorrupt;
  };
  EXPECT_TRUE(refused("tokenizer.ggml.token_type", std::vector<int64_t>{1, 1}));
  EXPECT_TRUE(refused("tokenizer.ggml.token_type", std::string("normal")));
  EXPECT_TRUE(refused("tokenizer.ggml.scores", std::vector<double>{1}));
  EXPECT_TRUE(refused("tokenizer.ggml.tokens", std::vector<std::string>{}));
  EXPECT_TRUE(refused("tokenizer.ggml.tokens", int64_t{7}));
  EXPECT_TRUE(refused("tokenizer.ggml.bos_token_id", int64_t{266}));
  EXPECT_TRUE(refused("tokenizer.ggml.bos_token_id", int64_t{-7}));
  EXPECT_TRUE(refused("tokenizer.ggml.eot_token_id", uint64_t{1} << 40));
  EXPECT_TRUE(refused("tokenizer.ggml.merges", std::vector<std::string>{"nospace"}));
  EXPECT_TRUE(refused("tokenizer.ggml.merges", std::vector<std::string>{"a "}));
  EXPECT_TRUE(refused("tokenizer.ggml.merges", std::string("a b")));
  EXPECT_FALSE(refused("tokenizer.ggml.bos_token_id", int64_t{-1}));  // "none"
}

}  // namespace
}  // namespace exo::text
