#include <gtest/gtest.h>

#include "base/element_type.h"
#include "base/ids.h"
#include "base/result.h"

namespace exo {
namespace {

Result<int> half(int x) {
  if (x % 2 != 0) return fail(ErrorCode::kInvalidArgument, "{} is odd", x);
  return x / 2;
}
Result<int> quarter(int x) {
  EXO_TRY(const int h, half(x));
  return half(h);
}

TEST(Result, PropagatesTheFirstError) {
  EXPECT_EQ(quarter(8).value(), 2);
  ASSERT_FALSE(quarter(6));
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
}

TEST(NodeId, HexRoundTripsAndRefusesOtherText) {
  NodeId id;
  id.bytes[0] = 0xab;
  id.bytes[31] = 0x01;
  EXPECT_EQ(NodeId::from_hex(id.hex()), id);
  EXPECT_FALSE(NodeId::from_hex("abc"));
  EXPECT_FALSE(NodeId::from_hex(std::string(64, 'x')));
}

TEST(ElementType, RowBytesNeedWholeBlocksAndDoNotOverflow) {
  EXPECT_EQ(row_bytes(ElementType::kQ4_0, 64), 36u);
  EXPECT_EQ(row_bytes(ElementType::kQ4_K, 100), std::nullopt);
  EXPECT_EQ(row_bytes(ElementType::kF64, ~0ull), std::nullopt);
  EXPECT_EQ(find_element_type("q4_k")->type, ElementType::kQ4_K);
  EXPECT_EQ(find_element_type(4u), nullptr);
}

}  // namespace
}  // namespace exo
