#include "chat/stop_strings.h"

#include <gtest/gtest.h>

namespace exo::chat {
namespace {

// The text handed on and the index of the stop string; the same for pieces of every size.
std::pair<std::string, int> run(std::vector<std::string> stops, std::string_view text) {
  std::pair<std::string, int> first{"", -2};
  for (size_t size = 1; size <= text.size() + 1; ++size) {
    StopMatcher matcher(stops);
    std::pair<std::string, int> result{"", -1};
    for (size_t i = 0; i < text.size(); i += size) {
      auto step = matcher.push(text.substr(i, size));
      result.first += step.text;
      if (step.stopped) result.second = step.stop_index;
    }
    if (!matcher.stopped()) result.first += matcher.finish();
    if (first.second == -2) first = result;
    EXPECT_EQ(result, first) << "pieces of " << size;
  }
  return first;
}

TEST(StopMatcher, CutsAtTheStopString) {
  EXPECT_EQ(run({"###", "END"}, "abc## #END###x"), (std::pair<std::string, int>("abc## #", 1)));
  EXPECT_EQ(run({"\n\n"}, "a\nb\n\nc"), (std::pair<std::string, int>("a\nb", 0)));
}

TEST(StopMatcher, GivesBackWhatWasHeld) {
  EXPECT_EQ(run({"STOP"}, "abcSTO"), (std::pair<std::string, int>("abcSTO", -1)));
  EXPECT_EQ(run({""}, "abc"), (std::pair<std::string, int>("abc", -1)));
  EXPECT_EQ(run({}, "abc"), (std::pair<std::string, int>("abc", -1)));
}

TEST(StopMatcher, FindsOverlappingBeginnings) {
  EXPECT_EQ(run({"aab"}, "aaab"), (std::pair<std::string, int>("a", 0)));
  EXPECT_EQ(run({"abab"}, "abaabab"), (std::pair<std::string, int>("aba", 0)));
}

TEST(StopMatcher, HoldsOnlyWhatMayBecomeAStop) {
  StopMatcher matcher({"<end>", "</s>"});
  EXPECT_EQ(matcher.push("hello <").text, "hello ");
  EXPECT_EQ(matcher.push("b").text, "<b");
  EXPECT_EQ(matcher.push(" </").text, " ");
  auto step = matcher.push("s> more");
  EXPECT_TRUE(step.stopped);
  EXPECT_EQ(step.stop_index, 1);
  EXPECT_EQ(step.text, "");
  EXPECT_EQ(matcher.push("later").text, "");
  EXPECT_EQ(matcher.finish(), "");
}

TEST(HeldSuffix, IsTheLongestProperBeginning) {
  EXPECT_EQ(held_suffix("xaba", "abac"), 3u);
  EXPECT_EQ(held_suffix("x", "abc"), 0u);
  EXPECT_EQ(held_suffix("abc", "abc"), 0u);
}

}  // namespace
}  // namespace exo::chat
