// The parts below the tokenizers: UTF-8, the byte alphabet, tries, pre-tokenizers.
#include <gtest/gtest.h>

#include "text/byte_alphabet.h"
#include "text/byte_trie.h"
#include "text/flat_index.h"
#include "text/pretokenizers.h"
#include "text/special_splitter.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

using Views = std::vector<std::string_view>;

Views split_as(std::string_view name, std::string_view text) {
  const NamedPreTokenizer* named = find_pretokenizer(name);
  EXPECT_NE(named, nullptr) << name;
  auto pretokenizer = compile_pretokenizer(*named);
  EXPECT_TRUE(pretokenizer.has_value()) << name << ": " << pretokenizer.error().message;
  Words words;
  pretokenizer->split(text, true, words);
  return words.views;
}

TEST(Utf8, ReplacesInvalidBytesAsPythonDoes) {
  // Each pair was computed with bytes.decode("utf-8", errors="replace").
  EXPECT_EQ(replace_invalid_utf8("a\xFF"
                                 "b"),
            "a�b");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82"), "�");
  EXPECT_EQ(replace_invalid_utf8("\xE2\x82"
                                 "A"),
            "�A");
  EXPECT_EQ(replace_invalid_utf8("\xF0\x9F\x98"), "�");
  EXPECT_EQ(replace_invalid_utf8("\xED\xA0\x80"), "���");       // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xC0\xAF"), "��");            // overlong
  EXPECT_EQ(replace_invalid_utf8("\xF4\x90\x80\x80"), "����");  // above U+10FFFF
  EXPECT_EQ(replace_invalid_utf8("\xE0\x80\x80"), "���");
  EXPECT_EQ(replace_invalid_utf8("añ😀"), "añ😀");
}

TEST(Utf8, ValidityAndRoundTrip) {
  for (const uint32_t c : {0x0u, 0x7Fu, 0x80u, 0x7FFu, 0x800u, 0xD7FFu, 0xE000u, 0xFFFFu, 0x10000u, 0x10FFFFu}) {
    std::string text = "12345678";
    append_utf8(text, c);
    EXPECT_TRUE(is_valid_utf8(text));
    EXPECT_EQ(decode_utf8(std::string_view(text).substr(8)).code_point, c);
    text.pop_back();
    EXPECT_EQ(is_valid_utf8(text), c < 0x80);
  }
}

TEST(ByteAlphabet, RoundTripsEveryByte) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  EXPECT_EQ(decode_byte_alphabet(encode_byte_alphabet(all)), all);
  EXPECT_EQ(encode_byte_alphabet(" a\n\xAD"), "ĠaĊŃ");
  EXPECT_EQ(decode_byte_alphabet("a｜"), std::nullopt);
}

TEST(StringIndex, FindsEachAndKeepsTheFirst) {
  std::vector<std::string> keys;
  for (int i = 0; i < 5000; ++i) keys.push_back("key" + std::to_string(i * 7919));
  const auto key_of = [&](int32_t id) -> std::string_view { return keys[id]; };
  StringIndex index(keys.size());
  for (int32_t i = 0; i < 5000; ++i) EXPECT_TRUE(index.insert(keys[i], i, key_of));
  EXPECT_FALSE(index.insert(keys[3], 4, key_of));
  for (int32_t i = 0; i < 5000; ++i) EXPECT_EQ(index.find(keys[i], key_of), i);
  EXPECT_EQ(index.find("absent", key_of), -1);
}

TEST(ByteTrie, FindsTheLongest) {
  const ByteTrie trie({{"ab", 1}, {"a", 0}, {"abcd", 2}, {"b", 3}, {"", 9}, {"ab", 7}});
  EXPECT_EQ(trie.longest_prefix("abcx")->value, 1);
  EXPECT_EQ(trie.longest_prefix("abcd")->value, 2);
  EXPECT_EQ(trie.longest_prefix("ax")->bytes, 1u);
  EXPECT_FALSE(trie.longest_prefix("c").has_value());
  EXPECT_FALSE(trie.longest_prefix("").has_value());
  EXPECT_TRUE(trie.can_start('b'));
  EXPECT_FALSE(trie.can_start('d'));
}

TEST(SpecialSplitter, TakesTheLongestAndStrips) {
  const SpecialSplitter splitter({{.text = "<a>", .id = TokenId(1)},
                                  {.text = "<a><b>", .id = TokenId(2)},
                                  {.text = "<c>", .id = TokenId(3), .only_if_parsed = true},
                                  {.text = "<l>", .id = TokenId(4), .strip_left = true},
                                  {.text = "<r>", .id = TokenId(5), .strip_right = true}});
  std::vector<SpecialSplitter::Fragment> parts;
  const auto show = [&](std::string_view text, bool parse) {
    splitter.split(text, parse, parts);
    std::string shown;
    for (const auto& part : parts)
      shown += part.token >= 0 ? fmt::format("#{}|", part.token) : fmt::format("{}|", part.text);
    return shown;
  };
  EXPECT_EQ(show("x<a><b>y<a>", false), "x|#2|y|#1|");
  EXPECT_EQ(show("x<c>y", false), "x<c>y|");
  EXPECT_EQ(show("x<c>y", true), "x|#3|y|");
  EXPECT_EQ(show("x  <l>  y", false), "x|#4|  y|");
  EXPECT_EQ(show("x  <r> \n y", false), "x  |#5|y|");
  EXPECT_EQ(show("<r>  ", false), "#5|");
  EXPECT_EQ(show("", false), "");
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_EQ(split_as("gpt-2", "Hello  world, it's 2024!\n\n x"),
            (Views{"Hello", " ", " world", ",", " it", "'s", " 2024", "!", "\n\n", " x"}));
}

TEST(PreTokenizer, Llama3) {
  EXPECT_EQ(split_as("llama-bpe", "I'LL  pay 12345$\r\n ok"),
            (Views{"I", "'LL", " ", " pay", " ", "123", "45", "$\r\n", " ok"}));
}

TEST(PreTokenizer, Qwen2TakesDigitsOneByOne) {
  EXPECT_EQ(split_as("qwen2", "a 123\n\n"), (Views{"a", " ", "1", "2", "3", "\n\n"}));
}

TEST(PreTokenizer, DeepseekV3) {
  EXPECT_EQ(split_as("deepseek-v3", "x1234汉字 _foo"), (Views{"x", "123", "4", "汉字", " _", "foo"}));
}

TEST(PreTokenizer, Gpt4oSplitsCamelCase) {
  EXPECT_EQ(split_as("gpt-4o", "camelCase HTTPServer's"), (Views{"camel", "Case", " HTTPServer's"}));
}

TEST(PreTokenizer, KimiKeepsHanApart) {
  EXPECT_EQ(split_as("kimi-k2", "abc漢字def 12345"), (Views{"abc", "漢字", "def", " ", "123", "45"}));
}

TEST(PreTokenizer, DigitsInThreesFromTheRight) {
  EXPECT_EQ(split_as("superbpe", "1234567"), (Views{"1", "234", "567"}));
  EXPECT_EQ(split_as("tiny_aya", "12345 1234x"), (Views{"12", "345", " ", "123", "4", "x"}));
}

TEST(PreTokenizer, WhiteSpaceIsUnicodesOwn) {
  // U+3000 is white space, U+180E is not (any more).
  EXPECT_EQ(split_as("gpt-2", "a\xE3\x80\x80 b"), (Views{"a", "\xE3\x80\x80", " b"}));
  EXPECT_EQ(split_as("gpt-2", "a\xE1\xA0\x8E"), (Views{"a", "\xE1\xA0\x8E"}));
}

TEST(PreTokenizer, EveryNamedOneCompilesAndLosesNothing) {
  const std::string text = "Hello wörld's 12,345.67 汉字かな\t\r\n  é \xF0\x9F\x98\x80 !?… ।";
  for (const char* name : {"",
                           "default",
                           "llama-bpe",
                           "dbrx",
                           "jais-2",
                           "qwen2",
                           "qwen35",
                           "minicpm5",
                           "ufakzeka",
                           "laguna",
                           "gpt-2",
                           "starcoder",
                           "deepseek-v3",
                           "spark2_5",
                           "deepseek-llm",
                           "deepseek-coder",
                           "youtu",
                           "falcon",
                           "bloom",
                           "viking",
                           "tekken",
                           "gpt-4o",
                           "tiny_aya",
                           "chameleon",
                           "kimi-k2",
                           "superbpe",
                           "bailingmoe",
                           "seed-coder",
                           "afmoe",
                           "exaone-moe",
                           "gemma4",
                           "refact",
                           "command-r",
                           "mpt",
                           "olmo",
                           "smollm",
                           "stablelm2",
                           "poro-chat",
                           "chatglm-bpe",
                           "smaug-bpe"}) {
    std::string joined;
    for (const auto word : split_as(name, text)) joined += word;
    EXPECT_EQ(joined, text) << name;
  }
  EXPECT_EQ(find_pretokenizer("no-such"), nullptr);
}

TEST(PreTokenizer, Behaviors) {
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    SplitStep step{.pattern = "-", .behavior = behavior, .invert = invert};
    auto pretokenizer = PreTokenizer::compile(std::span(&step, 1));
    Words words;
    pretokenizer->split("the-final--countdown", true, words);
    return words.views;
  };
  EXPECT_EQ(split(SplitBehavior::kIsolated), (Views{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::kRemoved), (Views{"the", "final", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::kMergedWithPrevious), (Views{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::kMergedWithNext), (Views{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split(SplitBehavior::kContiguous), (Views{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::kRemoved, true), (Views{"-", "-", "-"}));
}

TEST(SplitRegex, RefusesWhatDoesNotCompile) {
  const auto regex = SplitRegex::compile("(unclosed");
  ASSERT_FALSE(regex.has_value());
  EXPECT_EQ(regex.error().code, ErrorCode::kUnsupported);
}

TEST(SplitRegex, LongRunsStayLinear) {
  // A quadratic expression would need minutes.
  const std::string text(300000, 'A'), spaces(300000, ' '), digits(300000, '7');
  for (const char* name : {"gpt-4o", "llama-bpe", "kimi-k2", "afmoe", "tiny_aya", "exaone-moe", "tekken"})
    for (const auto& run : {text, spaces, digits}) EXPECT_FALSE(split_as(name, run).empty());
}

}  // namespace
}  // namespace exo::text
