// Every kernel of every instruction set that this machine runs, against plain definitions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "kernels/dequantize.h"
#include "kernels/half.h"
#include "kernels/int8_multiply.h"
#include "kernels/kernel_table.h"
#include "kernels/quantize.h"

namespace exo::kernels {
namespace {

using enum ElementType;
constexpr ElementType kQuantized[] = {kQ4_0,   kQ4_1,  kQ5_0,    kQ5_1,    kQ8_0,    kQ2_K,  kQ3_K,
                                      kQ4_K,   kQ5_K,  kQ6_K,    kIQ4_NL,  kIQ4_XS,  kMXFP4, kIQ2_XXS,
                                      kIQ2_XS, kIQ2_S, kIQ3_XXS, kIQ3_S,   kIQ1_S,   kIQ1_M, kTQ1_0,
                                      kTQ2_0,  kNVFP4, kA4_BF16, kA5_BF16, kA8_BF16, kA8_F16};

struct Bytes {
  std::vector<std::byte> data;
  size_t row;
};

// Every bit pattern, with half-precision scales that are neither infinite nor NaN.
Bytes random_rows(ElementType type, int64_t rows, int64_t cols, uint32_t seed) {
  Bytes b;
  b.row = *row_bytes(type, static_cast<uint64_t>(cols));
  b.data.resize(b.row * static_cast<size_t>(rows));
  std::mt19937 generator(seed);
  for (auto& byte : b.data) byte = static_cast<std::byte>(generator());
  const auto block = static_cast<size_t>(info(type).block_bytes);
  for (size_t at = 0; at < b.data.size(); at += block) {
    if (type == kMXFP4) {
      b.data[at] = static_cast<std::byte>(generator() % 130);  // subnormal powers too
      continue;
    }
    for (size_t i = 0; i < block; i += 2) {  // any two bytes may be the scale: none may look like an infinity
      uint16_t h;
      std::memcpy(&h, b.data.data() + at + i, 2);
      if ((h & 0x7c00) == 0x7c00) h = static_cast<uint16_t>(h & 0xbfff);
      std::memcpy(b.data.data() + at + i, &h, 2);
    }
  }
  return b;
}

std::vector<float> random_floats(size_t n, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> v(n);
  for (auto& x : v) x = normal(generator);
  return v;
}

class KernelsTest : public testing::TestWithParam<size_t> {
 protected:
  const KernelTable& kernels() const { return all_kernels()[GetParam()]; }
};
INSTANTIATE_TEST_SUITE_P(Targets, KernelsTest, testing::Range(size_t{0}, all_kernels().size()),
                         [](const auto& target) {
                           std::string name(all_kernels()[target.param].name);
                           for (auto& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
                           return name;
                         });

bool kernel_is_unsigned(const KernelTable& table) {
  for (const auto& t : int8_targets()) {
    if (t.multiply == table.multiply) return t.unsigned_panels;
  }
  return false;
}

uint32_t bits(float f) { return std::bit_cast<uint32_t>(f); }

TEST_P(KernelsTest, PanelsAreThoseOfTheReference) {
  for (ElementType type : kQuantized) {
    const int64_t cols = info(type).block_elements * (info(type).block_elements == 256 ? 3 : 13);
    for (uint32_t seed : {1, 2}) {
      const Bytes b = random_rows(type, kPanelRows, cols, seed);
      const PanelRows rows{b.data.data(), static_cast<int64_t>(b.row)};
      for (int64_t first = 0; first < cols / 32; first += 8) {
        const int64_t count = std::min<int64_t>(8, cols / 32 - first);
        Panel expected{}, got{};
        pack_reference(type, rows, first, count, kernel_is_unsigned(kernels()) ? 128 : 0, expected);
        kernels().pack(type, rows, first, count, Ahead(), got);
        const int halves = has_half_group_scales(type) ? 2 : 1;
        for (int64_t g = 0; g < count; ++g) {
          ASSERT_EQ(std::memcmp(expected.q[g], got.q[g], sizeof expected.q[g]), 0)
              << info(type).name << " group " << g;
          for (int h = 0; h < halves; ++h) {
            for (int r = 0; r < 16; ++r) {
              ASSERT_EQ(bits(expected.scale[g][h][r]), bits(got.scale[g][h][r])) << info(type).name;
              if (!has_minimums(type)) continue;
              ASSERT_EQ(bits(expected.min[g][h][r]), bits(got.min[g][h][r])) << info(type).name;
            }
          }
        }
      }
    }
  }
}

TEST_P(KernelsTest, ProductsStraightFromRowsAreThoseOfTheScalarKernelBitForBit) {
  if (kernels().multiply_rows == nullptr) return;
  int n_known = 0;
  for (ElementType type : kQuantized) {
    const int block = info(type).block_elements;
    const auto lengths = block == 256  ? std::vector<int64_t>{8, 24}
                         : block == 64 ? std::vector<int64_t>{8, 2, 12, 14}
                                       : std::vector<int64_t>{8, 1, 10, 13, 15};
    for (const int64_t groups : lengths) {
      const int64_t cols = groups * 32;
      const Bytes b = random_rows(type, kPanelRows, cols, 11);
      const PanelRows rows{b.data.data(), static_cast<int64_t>(b.row)};
      for (const int64_t n : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16}) {
        const auto x = random_floats(static_cast<size_t>(n * cols), 6);
        const int64_t supers = (groups + 7) / 8;
        std::vector<ActivationBlock> blocks(static_cast<size_t>(n * supers));
        for (int64_t t = 0; t < n; ++t)
          kernels().quantize_activations(x.data() + t * cols, cols, &blocks[static_cast<size_t>(t)], n);
        std::vector<float> expected(static_cast<size_t>(n * 17), 0.25f), got = expected;
        const int64_t done = kernels().multiply_rows(type, {.rows = rows,
                                                            .groups = groups,
                                                            .x = blocks.data(),
                                                            .x_stride = n,
                                                            .n_columns = n,
                                                            .y = got.data(),
                                                            .y_stride = 17});
        const bool known = kernels().straight_columns(type) > 0;
        // A last part of a super-block may be left to panels.
        ASSERT_TRUE(known ? done == groups / 8 * 8 || (n == 1 && done == groups) : done == 0) << info(type).name;
        for (int64_t g = 0; g < done; g += 8) {
          const int64_t count = std::min<int64_t>(8, done - g);
          Panel panel;
          pack_reference(type, rows, g, count, 0, panel);
          kInt8Scalar.multiply(panel_kind(type), &panel, 1, static_cast<int>(count),
                               &blocks[static_cast<size_t>(g / 8 * n)], n, Ahead(), expected.data(), 17);
        }
        if (!known) continue;
        ++n_known;
        for (size_t i = 0; i < got.size(); ++i)
          ASSERT_EQ(bits(got[i]), bits(expected[i])) << info(type).name << " " << i << " of " << n;
      }
    }
  }
  EXPECT_GE(n_known, 18 * 11);
}

TEST_P(KernelsTest, ProductsAreThoseOfTheScalarKernelBitForBit) {
  for (ElementType type : kQuantized) {
    const int64_t cols = 256;
    const Bytes b = random_rows(type, 32, cols, 3);
    for (int64_t n : {1, 2, 3, 5, 6, 7, 13, 70}) {
      for (int groups : {8, 3}) {
        auto x = random_floats(static_cast<size_t>(n * cols), 5);
        for (size_t i = 0; i < 32; ++i) x[i] = i % 2 ? 9.0f : -9.0f;  // extremes of both signs
        std::vector<ActivationBlock> blocks(static_cast<size_t>(n));
        for (int64_t t = 0; t < n; ++t)
          kernels().quantize_activations(x.data() + t * cols, cols, &blocks[static_cast<size_t>(t)], n);
        Panel reference[2], panels[2];
        for (size_t p = 0; p < 2; ++p) {
          const PanelRows rows{b.data.data() + 16 * p * b.row, static_cast<int64_t>(b.row)};
          pack_reference(type, rows, 0, 8, 0, reference[p]);
          pack_reference(type, rows, 0, 8, kernel_is_unsigned(kernels()) ? 128 : 0, panels[p]);
        }
        for (int n_panels : {1, 2}) {
          std::vector<float> expected(static_cast<size_t>(n * 33), 0.25f), got = expected;
          kInt8Scalar.multiply(panel_kind(type), reference, n_panels, groups, blocks.data(), n, Ahead(),
                               expected.data(), 33);
          kernels().multiply(panel_kind(type), panels, n_panels, groups, blocks.data(), n, Ahead(), got.data(), 33);
          for (size_t i = 0; i < got.size(); ++i)
            ASSERT_EQ(got[i], expected[i]) << info(type).name << " " << i << " of " << n;
        }
      }
    }
  }
}

TEST_P(KernelsTest, ActivationsKeepTheirValue) {
  for (int64_t n : {32, 256, 288, 1024}) {
    auto x = random_floats(static_cast<size_t>(n), 1, 3.0f);
    std::fill_n(x.begin(), 16, 0.0f);
    x[17] = 1e30f;
    if (n > 32) std::fill_n(x.begin() + 32, 32, 0.0f);
    std::vector<ActivationBlock> blocks(static_cast<size_t>((n + 255) / 256));
    kernels().quantize_activations(x.data(), n, blocks.data(), 1);
    for (int64_t i = 0; i < static_cast<int64_t>(blocks.size()) * 256; ++i) {
      const auto& b = blocks[static_cast<size_t>(i / 256)];
      const float scale = b.scale[i % 256 / 32];
      const float value = scale * b.q[i % 256];
      ASSERT_LE(std::abs(value - (i < n ? x[static_cast<size_t>(i)] : 0.0f)), scale * 0.5001f) << i;
      ASSERT_NE(b.q[i % 256], -128);
    }
    for (const auto& b : blocks) {
      for (int h = 0; h < 16; ++h) {
        int sum = 0;
        for (int i = 0; i < 16; ++i) sum += b.q[16 * h + i];
        ASSERT_EQ(b.half_bias[h], -128 * sum);
        ASSERT_EQ(b.scaled_half_sum[h], b.scale[h / 2] * static_cast<float>(sum));
        if (h % 2 == 1) {
          ASSERT_EQ(b.bias[h / 2], b.half_bias[h - 1] + b.half_bias[h]);
        }
      }
    }
  }
}

TEST_P(KernelsTest, DotsOfFloats) {
  for (ElementType type : {kF32, kF16, kBF16}) {
    for (int64_t k : {1, 15, 32, 80, 129, 400, 2048}) {
      for (int64_t n : {1, 2, 3, 4, 7, 17}) {
        const int64_t n_panels = k == 80 ? 4 : k == 129 ? 3 : 1, rows = n_panels * kPanelRows;
        const auto w = random_floats(static_cast<size_t>(rows * k), 1),
                   x = random_floats(static_cast<size_t>(n * (k + 3)), 2);
        const size_t row = *row_bytes(type, static_cast<uint64_t>(k));
        std::vector<std::byte> bytes(row * rows);
        std::vector<float> values(w.size());
        for (int64_t r = 0; r < rows; ++r) {
          quantize_row(type, w.data() + r * k, bytes.data() + static_cast<size_t>(r) * row, k);
          dequantize_row(type, bytes.data() + static_cast<size_t>(r) * row, values.data() + r * k, k);
        }
        std::vector<float> out(static_cast<size_t>(n * (rows + 2)), 0.0f), one(static_cast<size_t>(rows + 2));
        const auto multiply = [&](const float* from, int64_t columns, float* to) {
          std::vector<float> panels(static_cast<size_t>(n_panels * kFloatPiece * kPanelRows));
          for (int64_t first = 0; first < k; first += kFloatPiece) {
            const int64_t count = std::min<int64_t>(kFloatPiece, k - first);
            bool done = false;
            for (int64_t p = 0; p < n_panels; ++p) {
              const PanelRows of{bytes.data() + static_cast<size_t>(p * kPanelRows) * row,
                                 static_cast<int64_t>(row)};
              done = kernels().multiply_float_rows(type, of, RowsAhead(), first, count, from + first, k + 3,
                                                   columns, to + p * kPanelRows, rows + 2);
              if (done) continue;
              kernels().pack_floats(type, of, Ahead(), first, count,
                                    &panels[static_cast<size_t>(p * kFloatPiece * kPanelRows)]);
            }
            if (done) continue;
            kernels().multiply_floats(panels.data(), static_cast<int>(n_panels), count, from + first, k + 3,
                                      columns, to, rows + 2);
          }
        };
        multiply(x.data(), n, out.data());
        for (int64_t t = 0; t < n; ++t) {
          std::ranges::fill(one, 0.0f);
          multiply(x.data() + t * (k + 3), 1, one.data());
          for (int64_t r = 0; r < rows; ++r) {
            double exact = 0.0, size = 0.0;
            for (int64_t i = 0; i < k; ++i) {
              const double product =
                  double{values[static_cast<size_t>(r * k + i)]} * x[static_cast<size_t>(t * (k + 3) + i)];
              exact += product;
              size += std::abs(product);
            }
            ASSERT_NEAR(out[static_cast<size_t>(t * (rows + 2) + r)], exact, 1e-6 * size + 1e-30);
            ASSERT_EQ(out[static_cast<size_t>(t * (rows + 2) + r)], one[static_cast<size_t>(r)]);
          }
          ASSERT_EQ(out[static_cast<size_t>(t * (rows + 2) + rows)], 0.0f);
        }
      }
    }
  }
}

TEST_P(KernelsTest, WidensAndNarrows) {
  std::vector<uint16_t> all(65536);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> out(all.size());
  for (ElementType type : {kF16, kBF16}) {
    kernels().widen(type, reinterpret_cast<const std::byte*>(all.data()), out.data(), 65535);
    for (size_t i = 0; i < 65535; ++i) {
      const float expected = type == kF16 ? f16_to_f32(all[i]) : bf16_to_f32(all[i]);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(out[i]));
      } else {
        ASSERT_EQ(out[i], expected) << i;
      }
    }
  }
  auto x = random_floats(1001, 4, 100.0f);
  std::vector<uint16_t> half(x.size());
  kernels().narrow_f16(x.data(), half.data(), 1001);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(f16_to_f32(half[i]), x[i], std::abs(x[i]) * 0x1p-11f);
}

double exact(Function f, double x) {
  switch (f) {
    case Function::kSilu:
      return x / (1.0 + std::exp(-x));
    case Function::kGeluTanh:
      return 0.5 * x * (1.0 + std::tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case Function::kGeluErf:
      return 0.5 * x * (1.0 + std::erf(x * 0.70710678118654752));
    case Function::kRelu:
      return std::max(x, 0.0);
    case Function::kReluSquared:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case Function::kClampedSwish:
      return std::min(x, 7.0) / (1.0 + std::exp(-1.702 * std::min(x, 7.0)));
    case Function::kSigmoid:
      return 1.0 / (1.0 + std::exp(-x));
  }
  return 0.0;
}

TEST_P(KernelsTest, Functions) {
  for (auto f : {Function::kSilu, Function::kGeluTanh, Function::kGeluErf, Function::kRelu, Function::kReluSquared,
                 Function::kClampedSwish, Function::kSigmoid}) {
    std::vector<float> x;
    for (float v = -30.0f; v < 30.0f; v += 0.00731f) x.push_back(v);
    x.insert(x.end(), {0.0f, -1e-20f, 1e-3f, 100.0f, -100.0f, 1e4f, -1e4f});
    auto y = x, gated = x;
    auto up = random_floats(x.size(), 8);
    up[0] = -20.0f;
    up[1] = 20.0f;
    const auto n = static_cast<int64_t>(x.size());
    kernels().apply(f, y.data(), n);
    kernels().gate(f, x.data(), up.data(), gated.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = exact(f, x[i]);
      ASSERT_NEAR(y[i], e, 4e-7 * std::max(1.0, std::abs(static_cast<double>(x[i]))) + 1e-6 * std::abs(e)) << x[i];
      const float times = f == Function::kClampedSwish ? std::clamp(up[i], -7.0f, 7.0f) + 1.0f : up[i];
      ASSERT_EQ(gated[i], y[i] * times);
    }
  }
}

TEST_P(KernelsTest, DeltaStep) {
  for (const int64_t dim : {1, 7, 16, 50, 128}) {
    constexpr int64_t kRows = 6;
    const auto size = static_cast<size_t>(dim);
    const auto k = random_floats(size, 1, 0.5f), q = random_floats(size, 2), v = random_floats(kRows, 3);
    auto state = random_floats(kRows * size, 4);
    const auto before = state;
    const DeltaStep step{.key = k.data(), .query = q.data(), .dim = dim, .decay = 0.75f, .beta = 0.4f};
    std::vector<float> out(kRows), alone(kRows);
    kernels().delta_step(state.data(), step, v.data(), kRows, out.data());
    for (size_t r = 0; r < kRows; ++r) {
      double remembered = 0.0, expected = 0.0;
      for (size_t i = 0; i < size; ++i) remembered += 0.75 * before[r * size + i] * k[i];
      const double delta = 0.4 * (v[r] - remembered);
      for (size_t i = 0; i < size; ++i) {
        const double s = 0.75 * before[r * size + i] + delta * k[i];
        ASSERT_NEAR(state[r * size + i], s, 1e-5);
        expected += s * q[i];
      }
      ASSERT_NEAR(out[r], expected, 1e-4);
      auto row = std::vector<float>(before.begin() + static_cast<ptrdiff_t>(r * size),
                                    before.begin() + static_cast<ptrdiff_t>((r + 1) * size));
      kernels().delta_step(row.data(), step, &v[r], 1, &alone[r]);
      ASSERT_EQ(alone[r], out[r]);
    }
  }
}

TEST_P(KernelsTest, SoftCap) {
  auto x = random_floats(1003, 2, 60.0f);
  const auto before = x;
  kernels().soft_cap(x.data(), 30.0f, 1003);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], 30.0 * std::tanh(before[i] / 30.0), 1e-5);
}

TEST_P(KernelsTest, Norms) {
  for (int64_t n : {1, 5, 64, 100, 2048}) {
    const auto x = random_floats(static_cast<size_t>(n), 1, 4.0f), w = random_floats(static_cast<size_t>(n), 2),
               b = random_floats(static_cast<size_t>(n), 3);
    double mean = 0.0, squares = 0.0, variance = 0.0;
    for (float v : x) mean += v / static_cast<double>(n), squares += double{v} * v / static_cast<double>(n);
    for (float v : x) variance += (v - mean) * (v - mean) / static_cast<double>(n);
    std::vector<float> out(x.size());
    kernels().rms_norm(x.data(), w.data(), 1e-6f, out.data(), n);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], x[i] / std::sqrt(squares + 1e-6) * w[i], 1e-5);
    kernels().layer_norm(x.data(), w.data(), b.data(), 1e-5f, out.data(), n);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_NEAR(out[i], (x[i] - mean) / std::sqrt(variance + 1e-5) * w[i] + b[i], 2e-5);
    }
    kernels().layer_norm(x.data(), nullptr, nullptr, 1e-5f, out.data(), n);
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], (x[i] - mean) / std::sqrt(variance + 1e-5), 2e-5);
  }
}

TEST(Half, RoundTripsAndRounds) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto h = static_cast<uint16_t>(i);
    const float f = f16_to_f32(h);
    if (std::isnan(f)) {
      ASSERT_TRUE(std::isnan(f16_to_f32(f32_to_f16(f))));
    } else {
      ASSERT_EQ(f32_to_f16(f), h);
    }
    if (!std::isnan(bf16_to_f32(h))) {
      ASSERT_EQ(f32_to_bf16(bf16_to_f32(h)), h);
    }
  }
  EXPECT_EQ(f32_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(f32_to_f16(1.0f + 0x1p-11f), 0x3c00);  // tie to even
  EXPECT_EQ(f32_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);
  EXPECT_EQ(f32_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(f32_to_f16(-0x1.8p-25f), 0x8001);
  EXPECT_EQ(f32_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(e8m0_to_f32_half(0), 0x1p-128f);
  EXPECT_EQ(e8m0_to_f32_half(1), 0x1p-127f);
  EXPECT_EQ(e8m0_to_f32_half(128), 1.0f);
}

TEST(Dequantize, SmallBlocksByHand) {
  // Q4_0: scale 0.5; nibbles (element 0, element 16), … then 8s, which are zeros.
  std::vector<std::byte> q4(18, std::byte{0x88});
  q4[0] = std::byte{0x00}, q4[1] = std::byte{0x38};  // 0.5
  q4[2] = std::byte{0xf0}, q4[17] = std::byte{0x29};
  std::vector<float> out(32);
  dequantize_row(kQ4_0, q4.data(), out.data(), 32);
  EXPECT_EQ(out[0], -4.0f);
  EXPECT_EQ(out[16], 3.5f);
  EXPECT_EQ(out[15], 0.5f);
  EXPECT_EQ(out[31], -3.0f);
  EXPECT_EQ(out[1], 0.0f);
  // MXFP4: 2^(127 - 127); codes 7 (6.0) and 9 (-0.5).
  std::vector<std::byte> mx(17, std::byte{0});
  mx[0] = std::byte{127}, mx[1] = std::byte{0x97};
  dequantize_row(kMXFP4, mx.data(), out.data(), 32);
  EXPECT_EQ(out[0], 6.0f);
  EXPECT_EQ(out[16], -0.5f);
}

TEST(Half, E4M3) {
  EXPECT_EQ(e4m3_to_f32(0x00), 0.0f);
  EXPECT_EQ(e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3_to_f32(0x08), 0x1p-6f);
  EXPECT_EQ(e4m3_to_f32(0x38), 1.0f);
  EXPECT_EQ(e4m3_to_f32(0xbb), -1.375f);
  EXPECT_EQ(e4m3_to_f32(0x7e), 448.0f);
  EXPECT_TRUE(std::isnan(e4m3_to_f32(0x7f)));
  EXPECT_TRUE(std::isnan(e4m3_to_f32(0xff)));
}

TEST(Dequantize, OwnFormatsByHand) {
  // A8: scale -0.5, minimum 3: 0 → 3, 255 → -124.5, in either format of the scales.
  for (ElementType type : {kA8_BF16, kA8_F16}) {
    std::vector<std::byte> a8(36, std::byte{0});
    const auto h = [&](float v) { return type == kA8_F16 ? f32_to_f16(v) : f32_to_bf16(v); };
    const uint16_t scales[2] = {h(-0.5f), h(3.0f)};
    std::memcpy(a8.data(), scales, 4);
    a8[4 + 31] = std::byte{255};
    std::vector<float> out(32);
    dequantize_row(type, a8.data(), out.data(), 32);
    EXPECT_EQ(out[0], 3.0f);
    EXPECT_EQ(out[31], -124.5f);
  }
  // NVFP4: the second scale, 1.5, serves elements 16 to 31.
  std::vector<std::byte> nv(36, std::byte{0});
  nv[1] = std::byte{0x3c}, nv[4 + 8] = std::byte{0xf7};
  std::vector<float> out(64);
  dequantize_row(kNVFP4, nv.data(), out.data(), 64);
  EXPECT_EQ(out[16], 9.0f);
  EXPECT_EQ(out[24], -9.0f);
  EXPECT_EQ(out[0], 0.0f);
}

TEST(Quantize, ComesCloseToTheSource) {
  const struct {
    ElementType type;
    double error;  // root mean square, of normal values
  } cases[] = {{kF16, 3e-4},  {kBF16, 2.5e-3}, {kQ8_0, 7e-3},   {kQ6_K, 0.022},  {kQ5_K, 0.043},
               {kQ5_0, 0.05}, {kQ5_1, 0.04},   {kQ4_0, 0.095},  {kQ4_1, 0.085},  {kQ4_K, 0.085},
               {kQ3_K, 0.17}, {kQ2_K, 0.33},   {kIQ4_NL, 0.09}, {kIQ4_XS, 0.09}, {kMXFP4, 0.13}};
  auto x = random_floats(4096, 9);
  std::fill_n(x.begin() + 512, 256, 0.0f);
  for (const auto& c : cases) {
    std::vector<std::byte> bytes(*row_bytes(c.type, x.size()));
    std::vector<float> back(x.size());
    quantize_row(c.type, x.data(), bytes.data(), 4096);
    dequantize_row(c.type, bytes.data(), back.data(), 4096);
    double squares = 0.0;
    for (size_t i = 0; i < x.size(); ++i) squares += (back[i] - x[i]) * (back[i] - x[i]);
    EXPECT_LT(std::sqrt(squares / 4096), c.error) << info(c.type).name;
    EXPECT_GT(squares, 0.0);
  }
}

TEST(Quantize, ZerosConstantsAndExtremesStayWhatTheyAre) {
  for (ElementType type :
       {kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0, kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kIQ4_NL, kIQ4_XS, kMXFP4}) {
    for (float value : {0.0f, 1.0f, -1.0f, 3e-39f, 1000.0f}) {
      std::vector<float> x(256, value), back(256);
      std::vector<std::byte> bytes(*row_bytes(type, 256));
      quantize_row(type, x.data(), bytes.data(), 256);
      dequantize_row(type, bytes.data(), back.data(), 256);
      for (float v : back) ASSERT_NEAR(v, value, std::abs(value) * 0.03 + 1e-38) << info(type).name;
    }
  }
}

}  // namespace
}  // namespace exo::kernels
