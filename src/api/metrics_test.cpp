#include "api/metrics.h"

#include <gtest/gtest.h>

namespace exo::api {
namespace {

TEST(Metrics, LabelsAreEscaped) {
  EXPECT_EQ(escape_label("plain"), "plain");
  EXPECT_EQ(escape_label("a\"b\\c\nd"), "a\\\"b\\\\c?d");
  EXPECT_EQ(escape_label("a peer's name\x93"), "a peer's name?");  // else nobody reads the page
  EXPECT_EQ(escape_label("CSI as one character: \xC2\x9b"
                         "2J"),
            "CSI as one character: ?2J");
}

TEST(Histogram, BucketsAreCumulative) {
  serve::Histogram histogram;
  histogram.observe(0.015);
  histogram.observe(3);
  histogram.observe(1000);
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_DOUBLE_EQ(histogram.sum_s(), 1003.015);
  for (size_t i = 0; i < serve::Histogram::kBounds.size(); ++i) {
    const double bound = serve::Histogram::kBounds[i];
    EXPECT_EQ(histogram.buckets()[i], (bound >= 0.015) + (bound >= 3)) << bound;
  }
}

}  // namespace
}  // namespace exo::api
