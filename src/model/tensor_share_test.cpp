#include "model/tensor_share.h"

#include <gtest/gtest.h>

#include "model/hyperparameters.h"

namespace exo::model {
namespace {

TensorShare share_of(const std::vector<uint32_t>& shares, int32_t member) {
  const auto share = TensorShare::make(shares, member);
  EXPECT_TRUE(share.has_value()) << (share ? "" : share.error().message);
  return share.value_or(TensorShare());
}

TEST(TensorShare, PartsFollowEachOtherAndCoverAll) {
  const std::vector<uint32_t> shares = {40000, 15536, 10000};
  for (const RowSplit split : {split_rows(8192), split_rows(48), split_rows(32001), RowSplit{32, 4}}) {
    int64_t next = 0;
    for (int32_t i = 0; i < 3; ++i) {
      const RowPart part = share_of(shares, i).part(split);
      EXPECT_EQ(part.first, next);
      EXPECT_EQ(part.of, split.size);
      EXPECT_EQ(part.count % split.unit, 0);
      EXPECT_NEAR(static_cast<double>(part.count), static_cast<double>(split.size) * shares[size_t(i)] / 65536.0,
                  static_cast<double>(split.unit));
      next += part.count;
    }
    EXPECT_EQ(next, split.size);
  }
}

TEST(TensorShare, HeadsStayWithTheirKeys) {
  LayerHyperparameters layer;
  layer.n_heads = 32;
  layer.n_kv_heads = 8;
  const auto second = share_of({39322, 26214}, 1);  // 60 : 40
  EXPECT_EQ(second.kv_heads(layer).first, 5);
  EXPECT_EQ(second.kv_heads(layer).count, 3);
  EXPECT_EQ(second.heads(layer).first, 20);
  EXPECT_EQ(second.heads(layer).count, 12);
  layer.n_kv_heads = 1;  // which all query heads read
  EXPECT_EQ(second.kv_heads(layer).count, 1);
  EXPECT_EQ(second.heads(layer).first, 19);
  EXPECT_EQ(second.heads(layer).count, 13);
}

TEST(TensorShare, WrongSharesAreRefused) {
  const auto refused = [](const std::vector<uint32_t>& shares, int32_t member) {
    const auto share = TensorShare::make(shares, member);
    return !share.has_value() && share.error().code == ErrorCode::kInvalidArgument;
  };
  EXPECT_TRUE(refused({}, 0));
  EXPECT_TRUE(refused({65536}, 1));
  EXPECT_TRUE(refused({65536}, -1));
  EXPECT_TRUE(refused({65536, 0}, 0));
  EXPECT_TRUE(refused({32768, 32767}, 0));
  EXPECT_TRUE(refused({32768, 32769}, 0));
  EXPECT_TRUE(refused({4294967295u, 65537u}, 0));
  EXPECT_FALSE(refused({65536}, 0));
  EXPECT_FALSE(refused({1, 65535}, 1));
}

}  // namespace
}  // namespace exo::model
