#include "chat/reasoning_format.h"

#include <gtest/gtest.h>

#include "text/tiny_vocabulary.h"

namespace exo::chat {
namespace {

struct Split {
  std::string reasoning, content;
  bool operator==(const Split&) const = default;
};

void PrintTo(const Split& split, std::ostream* out) {
  *out << "{" << split.reasoning << "|" << split.content << "}";
}

// Feeds the text in pieces of every size and expects the same from each.
Split split_text(const ReasoningFormat& format, std::string_view prompt, std::string_view text,
                 std::vector<HarmonyCall>* calls = nullptr) {
  Split whole;
  for (size_t size = text.size() + 1; size > 0; --size) {
    ReasoningSplitter splitter(format, prompt);
    Split split;
    const auto add = [&](const ReasoningDelta& delta) {
      split.reasoning += delta.reasoning;
      split.content += delta.content;
    };
    for (size_t i = 0; i < text.size(); i += size) add(splitter.push(text.substr(i, size)));
    add(splitter.finish());
    if (size == text.size() + 1) whole = split;
    EXPECT_EQ(split, whole) << "pieces of " << size;
    if (calls) *calls = splitter.calls();
  }
  return whole;
}

TEST(ReasoningFormat, FamiliesByTheirTemplates) {
  struct Case {
    const char *source, *prompt, *answer;
    Split expected;
  };
  const Case cases[] = {
      {"{{ '<think>' }}", "<think>\n", "why\n</think>\n\nyes", {"why", "yes"}},
      {"no tags at all", "", "<think>why</think>yes", {"why", "yes"}},
      {"{{ '<|START_THINKING|>' }}",
       "",
       "<|START_THINKING|>why<|END_THINKING|><|START_RESPONSE|>yes<|END_RESPONSE|>",
       {"why", "yes"}},
      {"{{ '<|START_THINKING|>' }}",
       "<|START_THINKING|><|END_THINKING|>",
       "<|START_RESPONSE|>yes<|END_RESPONSE|>",
       {"", "yes"}},
      {"[THINK]", "", "[THINK]why[/THINK]yes", {"why", "yes"}},
      {"set think_begin_token = '<seed:think>'", "", "<seed:think>why</seed:think>yes", {"why", "yes"}},
      {"◁think▷", "◁think▷", "why◁/think▷yes", {"why", "yes"}},
      {"'<thought>' '</thought>'", "<thought>\n", "why</thought>yes", {"why", "yes"}},
      {"<|inner_prefix|>", "", "<|inner_prefix|>why<|inner_suffix|>yes", {"why", "yes"}},
      {"'<|channel>' '<channel|>'", "", "<|channel>thought\nwhy\n<channel|>yes", {"why", "yes"}},
      {"'<|channel>' '<channel|>'", "<|channel>thought\n<channel|>", "yes", {"", "yes"}},
      {"[BEGIN FINAL RESPONSE]",
       "Here are my reasoning steps:\n",
       "why\n[BEGIN FINAL RESPONSE]\nyes",
       {"why", "yes"}},
      {"Here is my thought process:",
       "",
       "Here is my thought process: why\n\nHere is my response: yes",
       {"why", "yes"}},
      {"<think></think> <response></response>", "", "<think>why</think><response>yes</response>", {"why", "yes"}},
      {"<think> <answer>", "", "<think>\nwhy\n</think>\n<answer>\nyes</answer>", {"why", "yes"}},
      {"<think> <answer>", "", "<answer>\nyes</answer>", {"", "yes"}},
  };
  for (const Case& c : cases)
    EXPECT_EQ(split_text(detect_reasoning(c.source), c.prompt, c.answer), c.expected)
        << c.source << " " << c.answer;
}

const ReasoningFormat kHarmony = detect_reasoning("<|start|> <|channel|>analysis<|message|>");

TEST(Harmony, ChannelsBecomeReasoningAndContent) {
  ASSERT_TRUE(kHarmony.harmony);
  EXPECT_EQ(
      split_text(kHarmony, "…<|start|>assistant",
                 "<|channel|>analysis<|message|>a < b<|end|><|start|>assistant<|channel|>final<|message|>c <|x"),
      (Split{"a < b", "c <|x"}));
  EXPECT_EQ(split_text(kHarmony, "…<|start|>assistant<|channel|>analysis<|message|>",
                       "why<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>"),
            (Split{"why", "yes"}));
  // Models forget the end and the start between two channels.
  EXPECT_EQ(
      split_text(kHarmony, "<|start|>assistant", "<|channel|>analysis<|message|>why<|channel|>final<|message|>yes"),
      (Split{"why", "yes"}));
}

TEST(Harmony, CallsAreNeither) {
  std::vector<HarmonyCall> calls;
  EXPECT_EQ(
      split_text(kHarmony, "<|start|>assistant",
                 "<|channel|>commentary<|message|>I look it up.<|end|><|start|>assistant<|channel|>commentary "
                 "to=functions.f <|constrain|>json<|message|>{\"a\": 1}<|call|>",
                 &calls),
      (Split{"", "I look it up."}));
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].recipient, "functions.f");
  EXPECT_EQ(calls[0].body, "{\"a\": 1}");
}

TEST(Harmony, AnswersWithoutMarksAreContent) {
  EXPECT_EQ(split_text(kHarmony, "<|start|>assistant", "just text"), (Split{"", "just text"}));
  const std::string length(2000, 'x');
  EXPECT_EQ(split_text(kHarmony, "<|start|>assistant", length.substr(0, 600)), (Split{"", length.substr(0, 600)}));
  HarmonyParser parser("<|start|>assistant");
  EXPECT_EQ(parser.push(length).content, length);  // not held to the end
  EXPECT_EQ(split_text(kHarmony, "<|start|>assistant", "<|channel|>analysis"), (Split{"", ""}));
}

TEST(ReasoningTokens, ControlTokensOfTheMarks) {
  const auto tokenizer = text::load_tokenizer(text::tiny_bpe_metadata());
  ASSERT_TRUE(tokenizer.has_value());
  const TokenId end = *(*tokenizer)->find_token("<|im_end|>");
  EXPECT_EQ(reasoning_tokens({.tags = {"<|im_end|>", "</hello>"}}, **tokenizer), (std::vector<TokenId>{end}));
  text::Detokenizer detokenizer(
      std::shared_ptr<const text::Tokenizer>(text::load_tokenizer(text::tiny_bpe_metadata()).value()), false,
      {end});
  EXPECT_EQ(detokenizer.push(end), "<|im_end|>");
}

}  // namespace
}  // namespace exo::chat
