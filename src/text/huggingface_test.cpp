#include <gtest/gtest.h>

#include "text/huggingface_tokenizer.h"
#include "text/text_normalizer.h"
#include "text/unicode_normalization.h"

namespace exo::text {
namespace {

std::vector<int32_t> ids(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {}) {
  std::vector<int32_t> result;
  for (const TokenId id : tokenizer.encode(text, options)) result.push_back(id.value);
  return result;
}

constexpr std::string_view kByteLevel = R"({
  "normalizer": {"type": "NFC"},
  "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
    {"type": "Split", "pattern": {"Regex": "\\p{N}| ?\\p{L}+|\\s+"}, "behavior": "Isolated", "invert": false},
    {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]},
  "post_processor": {"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
               {"SpecialToken": {"id": "</s>", "type_id": 0}}],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [8], "tokens": ["<s>"]},
                       "</s>": {"id": "</s>", "ids": [9], "tokens": ["</s>"]}}},
  "decoder": {"type": "ByteLevel"},
  "added_tokens": [{"id": 8, "content": "<s>", "special": true}, {"id": 9, "content": "</s>", "special": true},
                   {"id": 10, "content": "<t>", "special": false, "lstrip": true}],
  "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "Ã": 5, "©": 6, "Ã©": 7},
            "merges": ["a b", ["Ġ", "ab"], "Ã ©"]}})";

TEST(HuggingFace, ByteLevelBpe) {
  auto loaded = load_tokenizer_json(kByteLevel, R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const Tokenizer& tokenizer = **loaded;
  EXPECT_EQ(ids(tokenizer, "ab ab"), (std::vector<int32_t>{8, 3, 4, 9}));
  EXPECT_EQ(ids(tokenizer, "e\xCC\x81", {.add_special = false}), (std::vector<int32_t>{7}));  // composed by NFC
  EXPECT_EQ(ids(tokenizer, "a  <t>b", {.add_special = false}), (std::vector<int32_t>{0, 10, 1}));
  EXPECT_EQ(ids(tokenizer, "a</s>", {.add_special = false, .parse_special = true}), (std::vector<int32_t>{0, 9}));
  EXPECT_EQ(tokenizer.special().eos, TokenId(9));
  EXPECT_EQ(tokenizer.special().end_of_generation, (std::vector<TokenId>{TokenId(9)}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab ab", {}), false), "ab ab");
}

TEST(HuggingFace, InsideModelMetadata) {
  formats::GgufMetadata metadata;
  metadata.values["tokenizer.huggingface.json"] = std::string(kByteLevel);
  metadata.values["tokenizer.huggingface.config"] = std::string(R"({"eos_token": "</s>"})");
  const auto loaded = load_tokenizer(metadata);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  EXPECT_EQ(ids(**loaded, "ab ab"), (std::vector<int32_t>{8, 3, 4, 9}));
  EXPECT_EQ((*loaded)->special().eos, TokenId(9));
}

TEST(HuggingFace, ByteFallbackBpe) {
  auto loaded = load_tokenizer_json(R"({
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
    "pre_tokenizer": null,
    "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1}]},
    "model": {"type": "BPE", "byte_fallback": true, "fuse_unk": true, "unk_token": "<unk>",
      "vocab": {"<unk>": 0, "<0xC3>": 1, "<0xA9>": 2, "▁": 3, "a": 4, "▁a": 5}, "merges": [["▁", "a"]]}})");
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  const Tokenizer& tokenizer = **loaded;
  EXPECT_EQ(ids(tokenizer, "a aé"), (std::vector<int32_t>{5, 5, 1, 2}));
  EXPECT_EQ(ids(tokenizer, "xyz"), (std::vector<int32_t>{3, 0}));  // unknown characters fuse
  EXPECT_TRUE(tokenizer.strips_leading_space());
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a aé", {}), false), "a aé");
}

TEST(HuggingFace, RefusesWhatItDoesNotKnow) {
  const auto code = [](std::string_view json) { return load_tokenizer_json(json).error().code; };
  EXPECT_EQ(code("{"), ErrorCode::kCorrupt);
  EXPECT_EQ(code("[]"), ErrorCode::kCorrupt);
  EXPECT_EQ(code("{}"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"type": "Odd", "vocab": {}}})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(R"({"model": {"type": "Unigram", "vocab": []}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {}}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": -1}}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 99999999999}}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}, "merges": ["a"]}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}, "merges": [["a"]]}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}}, "added_tokens": [3]})"), ErrorCode::kCorrupt);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}}, "normalizer": {"type": "Odd"}})"), ErrorCode::kUnsupported);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}}, "pre_tokenizer": {"type": "Odd"}})"), ErrorCode::kUnsupported);
  EXPECT_EQ(
      code(R"({"model": {"vocab": {"a": 0}}, "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}}})"),
      ErrorCode::kUnsupported);
  EXPECT_EQ(code(R"({"model": {"vocab": {"a": 0}}, "post_processor": {"type": "TemplateProcessing",
                     "single": [{"SpecialToken": {"id": "x"}}], "special_tokens": {"x": {"ids": [5]}}}})"),
            ErrorCode::kCorrupt);
}

TEST(UnicodeNormalization, Nfc) {
  EXPECT_EQ(to_nfc("plain ascii"), "plain ascii");
  EXPECT_EQ(to_nfc("e\xCC\x81"), "é");
  EXPECT_EQ(to_nfc("A\xCC\x8A"), "Å");
  EXPECT_EQ(to_nfc("\xE2\x84\xAB"), "Å");                           // the Ångström sign is a singleton
  EXPECT_EQ(to_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB"), "한");  // jamo
  EXPECT_EQ(to_nfc("q\xCC\x87\xCC\xA3"), "q\xCC\xA3\xCC\x87");      // reordered by class
  EXPECT_EQ(to_nfc("\xE0\xA5\x98"), "\xE0\xA4\x95\xE0\xA4\xBC");    // excluded from composition
  EXPECT_EQ(to_nfc("a\xCC\x80\xCC\x80"), "\xC3\xA0\xCC\x80");       // the second of a class is blocked
  EXPECT_EQ(to_nfd("é한"), "e\xCC\x81\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB");
}

TEST(UnicodeNormalization, CompatibilityAndLowerCase) {
  EXPECT_EQ(to_nfkc("ﬁ ① ㎏ ｶﾞ ½"), "fi 1 kg ガ 1⁄2");
  EXPECT_EQ(to_nfkd("ｶﾞé"),
            "カ\xE3\x82\x99"
            "e\xCC\x81");
  EXPECT_EQ(to_lower("AÉĞΣ İ Ꙁ ß 𐐀"), "aéğσ i\xCC\x87 ꙁ ß 𐐨");
}

TEST(TextNormalizer, StepsInOrder) {
  TextNormalizer normalizer;
  normalizer.add_strip(true, false);
  normalizer.add_replace(" ", "_");
  normalizer.add_prefix("_", true);
  EXPECT_EQ(normalizer.apply("  a b ", true), "_a_b_");
  EXPECT_EQ(normalizer.apply("a b", false), "a_b");
}

}  // namespace
}  // namespace exo::text
