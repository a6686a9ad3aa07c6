#include "chat/reasoning.h"

#include <gtest/gtest.h>

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
Split split_text(std::string_view text, bool opened_by_prompt = false, ReasoningTags tags = {}) {
  Split whole;
  for (size_t size = text.size() + 1; size > 0; --size) {
    ReasoningParser parser(tags, opened_by_prompt);
    Split split;
    auto add = [&](const ReasoningDelta& delta) {
      split.reasoning += delta.reasoning;
      split.content += delta.content;
      EXPECT_EQ(split.reasoning.find(tags.close), std::string::npos);
    };
    for (size_t i = 0; i < text.size(); i += size) add(parser.push(text.substr(i, size)));
    add(parser.finish());
    if (size == text.size() + 1) whole = split;
    EXPECT_EQ(split, whole) << "pieces of " << size;
  }
  return whole;
}

TEST(ReasoningParser, SeparatesABlock) {
  EXPECT_EQ(split_text("<think>\nbecause < 2\n</think>\n\nyes <b>"), (Split{"because < 2", "yes <b>"}));
  EXPECT_EQ(split_text("\n<think></think>yes"), (Split{"", "yes"}));
}

TEST(ReasoningParser, AnswersWithoutReasoningPassThrough) {
  EXPECT_EQ(split_text(" plain <think>no</think>"), (Split{"", " plain <think>no</think>"}));
  EXPECT_EQ(split_text("<thin"), (Split{"", "<thin"}));
  EXPECT_EQ(split_text(""), (Split{"", ""}));
}

TEST(ReasoningParser, PromptMayHaveOpenedTheBlock) {
  EXPECT_EQ(split_text("a\n\nb</think>c</think>", true), (Split{"a\n\nb", "c</think>"}));
  EXPECT_EQ(split_text("<think>\na</think>c", true), (Split{"a", "c"}));
}

TEST(ReasoningParser, UnfinishedBlockIsReasoning) {
  EXPECT_EQ(split_text("<think>a </thi"), (Split{"a </thi", ""}));
  EXPECT_EQ(split_text("<think>"), (Split{"", ""}));
}

TEST(ReasoningParser, TagsAreConfigurable) {
  EXPECT_EQ(split_text("[THINK]a[[/THINK]b", false, {"[THINK]", "[/THINK]"}), (Split{"a[", "b"}));
}

TEST(ReasoningParser, EmitsWhatCannotBePartOfATag) {
  ReasoningParser parser({}, false);
  EXPECT_EQ(parser.push("<think>abc").reasoning, "abc");
  EXPECT_EQ(parser.push(" </th").reasoning, "");
  EXPECT_EQ(parser.push("e").reasoning, " </the");
  EXPECT_EQ(parser.push("</think> x").content, "x");
  EXPECT_EQ(parser.push("y <").content, "y <");
}

TEST(ReasoningParser, RecognisesAnOpenPrompt) {
  EXPECT_TRUE(ReasoningParser::prompt_opens("…assistant\n<think>\n", {}));
  EXPECT_FALSE(ReasoningParser::prompt_opens("…<think>\n\n</think>\n\n", {}));
  EXPECT_FALSE(ReasoningParser::prompt_opens("…<think> a", {}));
}

}  // namespace
}  // namespace exo::chat
