#include "ops/cpu/cpu_ops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/dequantize.h"
#include "kernels/kernel_table.h"
#include "kernels/quantize.h"
#include "ops/cpu/testing/random_tensors.h"

namespace exo::ops {
namespace {

using testing::random_floats;
using testing::tensor;

class CpuOpsTest : public ::testing::TestWithParam<int> {
 protected:
  std::unique_ptr<Ops> ops() { return make_cpu_ops({.threads = GetParam()}); }
};
INSTANTIATE_TEST_SUITE_P(Threads, CpuOpsTest, ::testing::Values(1, 3));

struct TestWeight {
  std::vector<std::byte> bytes;
  std::vector<float> values;  // as the format holds them
  Weight weight;
};

TestWeight make_weight(Ops& ops, ElementType type, int64_t rows, int64_t cols, uint32_t seed) {
  TestWeight w;
  const auto x = random_floats(static_cast<size_t>(rows * cols), seed);
  const auto row = static_cast<int64_t>(*row_bytes(type, static_cast<uint64_t>(cols)));
  w.bytes.resize(static_cast<size_t>(rows * row));
  w.values.resize(x.size());
  for (int64_t r = 0; r < rows; ++r) {
    kernels::quantize_row(type, x.data() + r * cols, w.bytes.data() + r * row, cols);
    kernels::dequantize_row(type, w.bytes.data() + r * row, w.values.data() + r * cols, cols);
  }
  w.weight = *ops.load({type, rows, cols, 1, w.bytes});
  return w;
}

TEST_P(CpuOpsTest, MatmulOfSeveralWeightsWithBiasAndAccumulation) {
  auto device = ops();
  using enum ElementType;
  for (int64_t n : {1, 3, 17}) {
    const int64_t cols = 512;
    auto x = random_floats(static_cast<size_t>(n * cols), 1);
    const auto a = make_weight(*device, kQ4_K, 70, cols, 2), b = make_weight(*device, kF32, 33, cols, 3),
               c = make_weight(*device, kF16, 5, cols, 4), e = make_weight(*device, kQ8_0, 16, cols, 5);
    const auto bias = random_floats(70, 6);
    const TestWeight* weights[] = {&a, &b, &c, &e};
    std::vector<std::vector<float>> out;
    for (auto* w : weights) out.push_back(random_floats(static_cast<size_t>(n * w->weight.rows), 7));
    const auto before = out;
    std::vector<Linear> linears;
    for (size_t i = 0; i < 4; ++i) {
      linears.push_back({&weights[i]->weight, tensor(out[i], n, weights[i]->weight.rows)});
    }
    linears[0].bias = {bias.data(), 70};
    linears[1].accumulate = true;
    device->matmul(tensor(x, n, cols), linears);
    for (size_t i = 0; i < 4; ++i) {
      const int64_t rows = weights[i]->weight.rows;
      const double tolerance = i == 0 || i == 3 ? 0.6 : 1e-4;  // activations of 8 bits where the weights have fewer
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t r = 0; r < rows; ++r) {
          const auto at = static_cast<size_t>(t * rows + r);
          double expected = i == 0 ? bias[static_cast<size_t>(r)] : i == 1 ? before[i][at] : 0.0;
          for (int64_t k = 0; k < cols; ++k) {
            expected += double{x[static_cast<size_t>(t * cols + k)]} *
                        weights[i]->values[static_cast<size_t>(r * cols + k)];
          }
          ASSERT_NEAR(out[i][at], expected, tolerance) << "weight " << i << " row " << r << " of " << n;
        }
      }
    }
  }
}

TEST_P(CpuOpsTest, ARowDoesNotDependOnItsBatch) {
  auto device = ops();
  using enum ElementType;
  for (ElementType type : {kF32, kF16, kBF16, kQ4_0, kQ8_0, kQ4_K, kQ6_K}) {
    const int64_t n = 70, cols = 768, rows = 100;
    auto x = random_floats(static_cast<size_t>(n * cols), 1);
    const auto w = make_weight(*device, type, rows, cols, 2);
    std::vector<float> all(static_cast<size_t>(n * rows)), one(static_cast<size_t>(rows));
    const Linear whole{&w.weight, tensor(all, n, rows)}, single{&w.weight, tensor(one, 1, rows)};
    device->matmul(tensor(x, n, cols), {&whole, 1});
    for (int64_t t = 0; t < n; ++t) {
      device->matmul(tensor(x, n, cols).row_range(t, 1), {&single, 1});
      for (int64_t r = 0; r < rows; ++r) {
        ASSERT_EQ(one[static_cast<size_t>(r)], all[static_cast<size_t>(t * rows + r)]) << info(type).name;
      }
    }
  }
}

TEST_P(CpuOpsTest, LoadRefusesWrongSizes) {
  auto device = ops();
  const std::vector<std::byte> bytes(36);
  EXPECT_TRUE(device->load({ElementType::kQ4_0, 2, 32, 1, bytes}).has_value());
  EXPECT_EQ(device->load({ElementType::kQ4_0, 3, 32, 1, bytes}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(device->load({ElementType::kQ4_0, 2, 33, 1, bytes}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(device->load({ElementType::kI32, 9, 1, 1, bytes}).error().code, ErrorCode::kUnsupported);
}

TEST_P(CpuOpsTest, EmbedReadsRows) {
  auto device = ops();
  const auto w = make_weight(*device, ElementType::kQ6_K, 9, 256, 3);
  const std::vector<TokenId> tokens = {TokenId{8}, TokenId{0}, TokenId{3}};
  std::vector<float> out(3 * 256);
  device->embed(w.weight, tokens, tensor(out, 3, 256));
  for (size_t i = 0; i < 3; ++i) {
    for (size_t k = 0; k < 256; ++k)
      ASSERT_EQ(out[i * 256 + k], w.values[static_cast<size_t>(tokens[i].value) * 256 + k]);
  }
}

TEST_P(CpuOpsTest, RopeRotatesPairs) {
  auto device = ops();
  const std::vector<float> factors = {1.0f, 2.0f, 4.0f, 8.0f};
  for (auto style : {RopeStyle::kInterleaved, RopeStyle::kHalves}) {
    RopeParams params{.style = style, .dims = 8, .theta = 100.0f, .position_scale = 0.5f, .magnitude_scale = 1.5f};
    params.frequency_factors = {factors.data(), 4};
    auto x = random_floats(2 * 20, 5);  // two heads of 10, of which 8 rotate
    const auto before = x;
    const std::vector<Position> positions = {Position{3}, Position{1000}};
    device->rope(tensor(x, 2, 20), 10, positions, params);
    for (size_t row = 0; row < 2; ++row) {
      for (size_t head = 0; head < 2; ++head) {
        const size_t base = row * 20 + head * 10;
        for (size_t i = 0; i < 4; ++i) {
          const double angle =
              positions[row].value * 0.5 * std::pow(100.0, -2.0 * static_cast<double>(i) / 8) / factors[i];
          const size_t a = base + (style == RopeStyle::kInterleaved ? 2 * i : i);
          const size_t b = base + (style == RopeStyle::kInterleaved ? 2 * i + 1 : i + 4);
          EXPECT_NEAR(x[a], 1.5 * (before[a] * std::cos(angle) - before[b] * std::sin(angle)), 1e-5);
          EXPECT_NEAR(x[b], 1.5 * (before[a] * std::sin(angle) + before[b] * std::cos(angle)), 1e-5);
        }
        EXPECT_EQ(x[base + 8], before[base + 8]);
        EXPECT_EQ(x[base + 9], before[base + 9]);
      }
    }
  }
}

TEST_P(CpuOpsTest, YarnKeepsHighAndScalesLowFrequencies) {
  auto device = ops();
  RopeParams params{.style = RopeStyle::kHalves, .dims = 64, .theta = 10000.0f, .position_scale = 0.25f};
  params.yarn_ext_factor = 1.0f;
  params.yarn_original_context = 4096;
  std::vector<float> x(64, 0.0f);
  x[0] = x[31] = 1.0f;  // the fastest and the slowest pair
  device->rope(tensor(x, 1, 64), 64, std::vector{Position{100}}, params);
  EXPECT_NEAR(x[0], std::cos(100.0), 1e-5);
  EXPECT_NEAR(x[63], std::sin(100.0 * 0.25 * std::pow(10000.0, -62.0 / 64)), 1e-6);
}

struct AttentionCase {
  int32_t heads, kv_heads, key_dim, value_dim, block_positions, window;
  float soft_cap;
  bool sinks;
  ElementType type;
  int32_t chunk = 0;
  bool values_in_keys = false;
};

// Two sequences, prefilled in pieces; compared with softmax attention in double on what the cache holds.
class Attention {
 public:
  Attention(Ops& ops, const AttentionCase& c, int32_t length)
      : ops_(ops),
        c_(c),
        length_(length),
        n_blocks_(2 * ((length + c.block_positions - 1) / c.block_positions) + 3) {
    const auto bytes = [&](int32_t dim) {
      return static_cast<size_t>(*row_bytes(c.type, static_cast<uint64_t>(dim))) *
             static_cast<size_t>(n_blocks_ * c.kv_heads * c.block_positions);
    };
    keys_ = *ops.allocate(bytes(c.key_dim));
    values_ = *ops.allocate(bytes(c.value_dim));
    cache_ = {keys_->data(),     values_->data(), c.type,    n_blocks_,
              c.block_positions, c.kv_heads,      c.key_dim, c.value_dim};
    cache_.values_in_keys = c.values_in_keys;
    for (int s = 0; s < 2; ++s) {
      for (int32_t b = 0; b < n_blocks_ / 2; ++b)
        tables_[s].push_back(BlockId{static_cast<uint32_t>(n_blocks_ - 1 - 2 * b - s)});
      q_[s] = random_floats(static_cast<size_t>(length * c.heads * c.key_dim), 10 + static_cast<uint32_t>(s));
      k_[s] = random_floats(static_cast<size_t>(length * c.kv_heads * c.key_dim), 20 + static_cast<uint32_t>(s));
      v_[s] = random_floats(static_cast<size_t>(length * c.kv_heads * c.value_dim), 30 + static_cast<uint32_t>(s));
      out_[s].resize(static_cast<size_t>(length * c.heads * c.value_dim));
      if (!c.values_in_keys) continue;
      for (int32_t vector = 0; vector < length * c.kv_heads; ++vector) {
        std::copy_n(k_[s].begin() + vector * c.key_dim, c.value_dim, v_[s].begin() + vector * c.value_dim);
      }
    }
    sinks_ = random_floats(static_cast<size_t>(c.heads), 40);
    params_ = {c.heads, 1.0f / std::sqrt(static_cast<float>(c.key_dim)), c.soft_cap, c.window, {}};
    params_.chunk = c.chunk;
    if (c.sinks) params_.sinks = {sinks_.data(), c.heads};
  }

  // Both sequences from `first`, `count` rows each, as one batch.
  void step(int32_t first, int32_t count) {
    std::vector<float> q, k, v, out(static_cast<size_t>(2 * count * c_.heads * c_.value_dim));
    const auto append = [&](std::vector<float>& to, const std::vector<float>& from, int32_t cols) {
      to.insert(to.end(), from.begin() + first * cols, from.begin() + (first + count) * cols);
    };
    std::vector<SequenceRows> sequences;
    for (int s = 0; s < 2; ++s) {
      append(q, q_[s], c_.heads * c_.key_dim);
      append(k, k_[s], c_.kv_heads * c_.key_dim);
      append(v, v_[s], c_.kv_heads * c_.value_dim);
      sequences.push_back({s * count, count, Position{first}, tables_[s]});
    }
    const int64_t rows = 2 * count;
    const Tensor values = c_.values_in_keys ? Tensor{} : tensor(v, rows, c_.kv_heads * c_.value_dim);
    ops_.store_kv(tensor(k, rows, c_.kv_heads * c_.key_dim), values, cache_, sequences);
    ops_.attention(tensor(q, rows, c_.heads * c_.key_dim), cache_, sequences, params_,
                   tensor(out, rows, c_.heads * c_.value_dim));
    const int32_t cols = c_.heads * c_.value_dim;
    for (int s = 0; s < 2; ++s) {
      std::copy_n(out.begin() + s * count * cols, count * cols, out_[s].begin() + first * cols);
    }
  }

  std::vector<double> reference(int s, int32_t position, int32_t head) const {
    const int32_t kv = head / (c_.heads / c_.kv_heads);
    std::vector<double> logits;
    int32_t low = c_.window > 0 ? std::max(0, position - c_.window + 1) : 0;
    if (c_.chunk > 0) low = std::max(low, position / c_.chunk * c_.chunk);
    for (int32_t j = low; j <= position; ++j) {
      double dot = 0.0;
      for (int32_t i = 0; i < c_.key_dim; ++i) {
        dot += double{q_[s][static_cast<size_t>((position * c_.heads + head) * c_.key_dim + i)]} *
               k_[s][static_cast<size_t>((j * c_.kv_heads + kv) * c_.key_dim + i)];
      }
      dot *= params_.scale;
      logits.push_back(c_.soft_cap > 0 ? c_.soft_cap * std::tanh(dot / c_.soft_cap) : dot);
    }
    double total = c_.sinks ? std::exp(double{sinks_[static_cast<size_t>(head)]}) : 0.0;
    std::vector<double> result(static_cast<size_t>(c_.value_dim), 0.0);
    for (size_t j = 0; j < logits.size(); ++j) {
      const double p = std::exp(logits[j]);
      total += p;
      for (int32_t i = 0; i < c_.value_dim; ++i) {
        result[static_cast<size_t>(i)] +=
            p * v_[s][static_cast<size_t>(((low + static_cast<int32_t>(j)) * c_.kv_heads + kv) * c_.value_dim + i)];
      }
    }
    for (auto& r : result) r /= total;
    return result;
  }

  void check(double tolerance) const {
    for (int s = 0; s < 2; ++s) {
      for (int32_t position = 0; position < length_; position += position < 70 ? 1 : 37) {
        for (int32_t head = 0; head < c_.heads; ++head) {
          const auto expected = reference(s, position, head);
          for (int32_t i = 0; i < c_.value_dim; ++i) {
            const float got = out_[s][static_cast<size_t>((position * c_.heads + head) * c_.value_dim + i)];
            ASSERT_NEAR(got, expected[static_cast<size_t>(i)], tolerance)
                << "position " << position << " head " << head;
          }
        }
      }
    }
  }

  const std::vector<float>& out(int s) const { return out_[s]; }

 private:
  Ops& ops_;
  AttentionCase c_;
  int32_t length_, n_blocks_;
  std::unique_ptr<Buffer> keys_, values_;
  KvCacheView cache_;
  std::vector<BlockId> tables_[2];
  std::vector<float> q_[2], k_[2], v_[2], out_[2], sinks_;
  AttentionParams params_;
};

TEST_P(CpuOpsTest, AttentionAgreesWithNaive) {
  auto device = ops();
  using enum ElementType;
  const AttentionCase cases[] = {
      {4, 2, 64, 64, 32, 0, 0.0f, false, kF32},
      {6, 2, 80, 80, 16, 0, 0.0f, false, kF32},
      {3, 1, 32, 96, 20, 0, 0.0f, false, kF32},
      {8, 8, 128, 128, 32, 7, 0.0f, false, kF32},
      {4, 1, 256, 64, 64, 0, 2.0f, true, kF32},
      {2, 2, 64, 64, 32, 40, 0.0f, true, kF32},
      {9, 3, 20, 12, 5, 0, 0.0f, false, kF32},
      {4, 2, 64, 64, 32, 0, 0.0f, false, kF16},
      {4, 2, 64, 32, 32, 0, 0.0f, false, kQ8_0},
      {4, 2, 64, 64, 32, 0, 0.0f, false, kF32, 13},
      {4, 2, 64, 64, 32, 0, 0.0f, false, kF32, 64},
      {40, 1, 36, 20, 32, 0, 0.0f, false, kF32, 0, true},
      {100, 1, 96, 64, 32, 0, 0.0f, false, kF16, 0, true},
      {6, 2, 48, 32, 32, 9, 0.0f, false, kF32, 0, true},
  };
  for (const auto& c : cases) {
    Attention attention(*device, c, 90);
    attention.step(0, 61);
    attention.step(61, 1);
    attention.step(62, 28);
    SCOPED_TRACE(::testing::Message() << c.heads << " heads of " << c.key_dim << " in " << info(c.type).name);
    attention.check(c.type == kF32 ? 2e-6 : c.type == kF16 ? 2e-3 : 3e-2);
  }
}

TEST_P(CpuOpsTest, AttentionWindowsReadNothingBeforeThem) {
  auto device = ops();
  // Leaves NaN in memory that attention uses next: products with weights whose scales are NaN.
  std::vector<float> x(2048 * 64, 1.0f), out(2048 * 512);
  std::vector<std::byte> bytes(512 * 64 / 32 * 34, std::byte{1});
  for (size_t i = 1; i < bytes.size(); i += 34) bytes[i] = std::byte{0x7E};
  const Weight weight = *device->load({ElementType::kQ8_0, 512, 64, 1, bytes});
  const Linear linear{&weight, tensor(out, 2048, 512)};
  Attention attention(*device, {4, 2, 64, 64, 32, 40, 0.0f, false, ElementType::kF32}, 90);
  attention.step(0, 61);
  device->matmul(tensor(x, 2048, 64), {&linear, 1});
  attention.step(61, 29);
  attention.check(2e-6);
}

TEST_P(CpuOpsTest, HeadsHaveMatricesOfTheirOwn) {
  auto device = ops();
  using enum ElementType;
  constexpr int64_t kHeads = 5, kIn = 64, kOut = 37;
  for (const ElementType type : {kF32, kF16, kBF16, kQ8_0}) {
    const auto all = make_weight(*device, type, kHeads * kOut, kIn, 3);
    const Weight weight = *device->load({type, kOut, kIn, kHeads, all.bytes});
    for (const int64_t rows : {1, 3, 7}) {
      // Parts of wider heads, as latent attention has them.
      auto x = random_floats(static_cast<size_t>(rows * kHeads * (kIn + 3)), 5);
      std::vector<float> y(static_cast<size_t>(rows * kHeads * (kOut + 2)), 9.0f);
      const Tensor from = tensor(x, rows * kHeads, kIn + 3).columns(2, kIn);
      const Tensor to = tensor(y, rows * kHeads, kOut + 2).columns(1, kOut);
      device->matmul_heads(from, weight, to);
      for (int64_t i = 0; i < rows * kHeads; ++i) {
        const int64_t head = i % kHeads;
        for (int64_t o = 0; o < kOut; ++o) {
          double expected = 0.0;
          for (int64_t c = 0; c < kIn; ++c) {
            expected += double{from.data[i * from.stride + c]} *
                        all.values[static_cast<size_t>((head * kOut + o) * kIn + c)];
          }
          ASSERT_NEAR(to.data[i * to.stride + o], expected, type == kQ8_0 ? 0.4 : 1e-4) << i << ' ' << o;
        }
        ASSERT_EQ(to.data[i * to.stride - 1], 9.0f);
        ASSERT_EQ(to.data[i * to.stride + kOut], 9.0f);
      }
    }
  }
}

TEST_P(CpuOpsTest, LongAttentionIsSplitWithoutAChangeOfBits) {
  auto device = ops();
  const AttentionCase c{2, 1, 32, 32, 32, 0, 0.0f, false, ElementType::kF32};
  constexpr int32_t kLength = 1300;
  Attention batch(*device, c, kLength), alone(*device, c, kLength);
  batch.step(0, kLength);
  batch.check(5e-6);
  alone.step(0, 1100);
  for (int32_t p = 1100; p < kLength; ++p) alone.step(p, 1);
  for (int s = 0; s < 2; ++s) EXPECT_THAT(alone.out(s), ::testing::ElementsAreArray(batch.out(s)));
}

TEST_P(CpuOpsTest, RowsAndElements) {
  auto device = ops();
  auto x = random_floats(3 * 37, 1), y = random_floats(3 * 37, 2);
  const auto x0 = x;
  const auto w = random_floats(37, 3);
  std::vector<float> out(x.size());
  device->rms_norm(tensor(x, 3, 37), {w.data(), 37}, 1e-5f, tensor(out, 3, 37));
  for (size_t r = 0; r < 3; ++r) {
    double squares = 0.0;
    for (size_t i = 0; i < 37; ++i) squares += double{x[r * 37 + i]} * x[r * 37 + i];
    for (size_t i = 0; i < 37; ++i) {
      ASSERT_NEAR(out[r * 37 + i], x[r * 37 + i] / std::sqrt(squares / 37 + 1e-5) * w[i], 1e-5);
    }
  }
  device->add(tensor(x, 3, 37), tensor(y, 3, 37));
  device->scale(tensor(x, 3, 37), 0.5f);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i], (x0[i] + y[i]) * 0.5f);
  device->gated_activation(Activation::kSilu, tensor(x, 3, 37), tensor(y, 3, 37), tensor(out, 3, 37));
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], x[i] / (1 + std::exp(-double{x[i]})) * y[i], 1e-6);
  device->gather_rows(tensor(x, 3, 37), std::vector<int32_t>{2, 0}, tensor(out, 2, 37));
  for (size_t i = 0; i < 37; ++i) {
    ASSERT_EQ(out[i], x[74 + i]);
    ASSERT_EQ(out[37 + i], x[i]);
  }
}

TEST(CpuPacking, ProductsOfUnpackedRowsHaveTheSameBits) {
  const auto ops = make_cpu_ops({.threads = 2});
  constexpr int64_t kRows = 37, kCols = 288 + 64;
  const auto packed_bytes = static_cast<size_t>(Ops::packed_bytes(kCols));
  std::vector<float> x(kRows * kCols), back(x.size());
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (size_t i = 0; i < x.size(); ++i) {
    const int64_t group = static_cast<int64_t>(i) / 32;
    x[i] = normal(random) * std::exp2(static_cast<float>(group % 61 - 30));
    if (group % 17 == 3) x[i] = i % 32 < 3 ? 1.0f : std::nextafter(1.0f, 0.0f) * (i % 2 == 0 ? -1.0f : 1.0f);
    if (group % 19 == 4) x[i] = 0.0f;
  }
  std::vector<std::byte> bytes(kRows * packed_bytes);
  const auto view = [&](std::vector<float>& values) { return Tensor{values.data(), kRows, kCols, kCols}; };
  ops->pack(view(x), bytes.data());
  ops->unpack(bytes.data(), view(back));
  EXPECT_NE(back, x);
  std::vector<std::byte> again(bytes.size());
  ops->pack(view(back), again.data());
  EXPECT_EQ(again, bytes);
}

TEST_P(CpuOpsTest, PackedPartsGiveTheBitsOfTheirNumbers) {
  auto device = ops();
  constexpr int64_t kCols = 352;
  for (const int64_t n : {1, 19}) {
    auto x = random_floats(static_cast<size_t>(n * kCols), 1);
    const auto w = make_weight(*device, ElementType::kQ4_1, 40, kCols, 2);
    std::vector<float> expected(static_cast<size_t>(n * 40)), got(expected.size());
    const Linear linear{&w.weight, tensor(expected, n, 40)}, packed{&w.weight, tensor(got, n, 40)};
    device->matmul(tensor(x, n, kCols), {&linear, 1});
    std::vector<std::byte> first(static_cast<size_t>(n * Ops::packed_bytes(96)));
    std::vector<std::byte> second(static_cast<size_t>(n * Ops::packed_bytes(256)));
    device->pack(tensor(x, n, kCols).columns(0, 96), first.data());
    device->pack(tensor(x, n, kCols).columns(96, 256), second.data());
    const PackedColumns parts[] = {{first.data(), 96}, {second.data(), 256}};
    device->matmul_packed(parts, n, {&packed, 1});
    EXPECT_EQ(got, expected);
  }
}

TEST_P(CpuOpsTest, NormOfColumnsGivesTheBitsOfTheRows) {
  auto device = ops();
  constexpr int64_t kRows = 9, kCols = 1024, kFirst = 256, kCount = 512;
  auto x = random_floats(kRows * kCols, 1), w = random_floats(kCols, 2);
  std::vector<float> whole(x.size()), part(kRows * kCount), sums(kRows * kCols / Ops::kNormColumns);
  device->rms_norm(tensor(x, kRows, kCols), {w.data(), kCols}, 1e-5f, tensor(whole, kRows, kCols));
  device->sum_squares(tensor(x, kRows, kCols), sums.data());
  device->rms_norm_columns(tensor(x, kRows, kCols).columns(kFirst, kCount), {w.data() + kFirst, kCount}, 1e-5f,
                           sums.data(), kCols / Ops::kNormColumns, tensor(part, kRows, kCount));
  for (int64_t r = 0; r < kRows; ++r) {
    const float* row = whole.data() + r * kCols + kFirst;
    EXPECT_TRUE(std::equal(row, row + kCount, part.data() + r * kCount));
  }
}

}  // namespace
}  // namespace exo::ops
