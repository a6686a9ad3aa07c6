#include "base/printable.h"

#include <gtest/gtest.h>

namespace exo {
namespace {

TEST(Printable, ControlCharactersOfBothKindsAndWhatIsNotUtf8BecomeQuestionMarks) {
  EXPECT_EQ(printable("a\x1b[2Jb\n\x7f"), "a?[2Jb??");
  EXPECT_EQ(printable("\xC2\x9b"
                      "2J\xC2\x80\xC2\x9f"),
            "?2J??")
      << "CSI as one character";
  EXPECT_EQ(printable("\xff\xc3\x28\xe0\x82\x9b\xed\xa0\x80\xf5"), "??(???????");
}

TEST(Printable, TextStaysAsItIs) {
  EXPECT_EQ(printable("Grüße 你好 \xC2\xA0👋"), "Grüße 你好 \xC2\xA0👋");
  EXPECT_EQ(printable(""), "");
}

TEST(Printable, IsCutBetweenCharacters) {
  EXPECT_EQ(printable("\xe4\xbd\xa0\xe5\xa5\xbd", 5), "\xe4\xbd\xa0");
  EXPECT_EQ(printable("abc", 2), "ab");
}

}  // namespace
}  // namespace exo
