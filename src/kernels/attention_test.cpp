// The steps of attention for every instruction set that this machine runs, against their definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/quantize.h"

namespace exo::kernels {
namespace {

using enum ElementType;
constexpr int kChunk = kAttentionChunk;

std::vector<float> random_floats(size_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (auto& x : v) x = normal(generator);
  return v;
}

// A chunk of vectors in the format of a cache, and what they are in f32.
struct Stored {
  Stored(const KernelTable& kernels, ElementType type, int64_t dim, uint32_t seed) : wide(kChunk * dim) {
    const auto x = random_floats(wide.size(), seed);
    const auto row = *row_bytes(type, static_cast<uint64_t>(dim));
    bytes.resize(row * kChunk);
    for (int j = 0; j < kChunk; ++j) {
      auto* to = bytes.data() + static_cast<size_t>(j) * row;
      const float* from = x.data() + j * dim;
      if (type == kF16) {
        kernels.narrow_f16(from, reinterpret_cast<uint16_t*>(to), dim);
      } else {
        quantize_row(type, from, to, dim);
      }
      kernels.widen(type, to, wide.data() + j * dim, dim);
      positions.push_back(to);
    }
  }
  std::vector<std::byte> bytes;
  std::vector<const std::byte*> positions;
  std::vector<float> wide;  // [kChunk, dim]
};

class AttentionKernelsTest : public ::testing::TestWithParam<size_t> {
 protected:
  const KernelTable& kernels() const { return all_kernels()[GetParam()]; }
};

TEST_P(AttentionKernelsTest, KeysAreTurnedWithoutChange) {
  for (const ElementType type : {kF32, kF16, kQ8_0}) {
    for (const int64_t dim : {32, 64, 96, 256}) {
      const Stored keys(kernels(), type, dim, 1);
      std::vector<float> turned(static_cast<size_t>(dim) * kChunk, -1.0f);
      const auto* next = dim == 64 ? keys.positions.data() : nullptr;
      if (!kernels().transpose_keys(type, keys.positions.data(), next, dim, turned.data())) {
        EXPECT_NE(type, kF32);
        continue;
      }
      for (int64_t i = 0; i < dim; ++i) {
        for (int j = 0; j < kChunk; ++j) {
          ASSERT_EQ(turned[static_cast<size_t>(i * kChunk + j)], keys.wide[static_cast<size_t>(j * dim + i)])
              << info(type).name << " " << dim;
        }
      }
    }
  }
}

TEST_P(AttentionKernelsTest, ScoresAreSumsInOrder) {
  constexpr int64_t kDim = 80;
  const auto kt = random_floats(kDim * kChunk, 2);
  for (const int rows : {1, 2, 3, 7, 8, 13, 64}) {
    const auto q = random_floats(static_cast<size_t>(rows) * kDim, 3);
    std::vector<float> s(static_cast<size_t>(rows) * kChunk);
    kernels().scores(q.data(), kDim, rows, kt.data(), kDim, s.data());
    for (int r = 0; r < rows; ++r) {
      for (int j = 0; j < kChunk; ++j) {
        float sum = 0.0f;
        for (int64_t i = 0; i < kDim; ++i) {
          sum = std::fma(q[static_cast<size_t>(r * kDim + i)], kt[static_cast<size_t>(i * kChunk + j)], sum);
        }
        ASSERT_NEAR(s[static_cast<size_t>(r * kChunk + j)], sum, 2e-5);
        std::vector<float> alone(kChunk);
        if (j == 0) kernels().scores(q.data() + r * kDim, kDim, 1, kt.data(), kDim, alone.data());
        if (j == 0) {
          ASSERT_EQ(s[static_cast<size_t>(r * kChunk)], alone[0]) << "a row depends on its neighbours";
        }
      }
    }
  }
}

TEST_P(AttentionKernelsTest, SoftmaxGoesOnFromChunkToChunk) {
  const ChunkRange ranges[] = {{0, kChunk}, {5, kChunk}, {0, 9}, {7, 7}, {31, 32}};
  constexpr int kRows = 5;
  std::vector<double> expected_total(kRows, 0.0);
  std::vector<float> maximum(kRows, -INFINITY), total(kRows, 0.0f), factor(kRows);
  for (int chunk = 0; chunk < 3; ++chunk) {
    auto s = random_floats(kRows * kChunk, 4 + static_cast<uint32_t>(chunk));
    const auto before = s;
    const auto earlier = maximum;
    kernels().softmax_rows(s.data(), kRows, ranges, maximum.data(), total.data(), factor.data());
    for (int r = 0; r < kRows; ++r) {
      const auto [begin, end] = ranges[r];
      const auto row = static_cast<size_t>(r);
      if (begin >= end) {
        EXPECT_EQ(factor[row], 1.0f);
      }
      expected_total[row] *= begin < end ? std::exp(double{earlier[row]} - maximum[row]) : 1.0;
      for (int j = 0; j < kChunk; ++j) {
        const size_t at = row * kChunk + static_cast<size_t>(j);
        const bool seen = j >= begin && j < end;
        ASSERT_NEAR(s[at], seen ? std::exp(double{before[at]} - maximum[row]) : 0.0, 1e-6);
        if (seen) {
          EXPECT_GE(maximum[row], before[at]);
          expected_total[row] += s[at];
        }
      }
      EXPECT_NEAR(total[row], expected_total[row], 1e-5 * (1 + expected_total[row]));
    }
  }
}

TEST_P(AttentionKernelsTest, StoredValuesAreMixedLikeWideOnesBitForBit) {
  for (const ElementType type : {kF16, kQ8_0}) {
    for (const int64_t dim : {32, 64, 160}) {
      for (const int rows : {1, 3, 4, 8}) {
        for (const int n : {1, 13, kChunk}) {
          const Stored values(kernels(), type, dim, 8);
          const auto p = random_floats(static_cast<size_t>(rows) * kChunk, 9);
          const auto factor = random_floats(static_cast<size_t>(rows), 10);
          auto wide = random_floats(static_cast<size_t>(rows * dim), 11);
          auto stored = wide;
          const auto start = wide;
          if (!kernels().mix_stored(type, p.data(), factor.data(), rows, values.positions.data(), nullptr, n, dim,
                                    stored.data(), dim)) {
            continue;
          }
          kernels().mix_values(p.data(), factor.data(), rows, values.wide.data(), dim, n, dim, wide.data(), dim);
          ASSERT_EQ(stored, wide) << info(type).name << " " << dim << " " << rows << " " << n;
          double first = double{start[0]} * factor[0];
          for (int j = 0; j < n; ++j)
            first += double{p[static_cast<size_t>(j)]} * values.wide[static_cast<size_t>(j * dim)];
          EXPECT_NEAR(wide[0], first, 1e-4);
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Targets, AttentionKernelsTest, ::testing::Range(size_t{0}, all_kernels().size()),
                         [](const auto& test) {
                           std::string name(all_kernels()[test.param].name);
                           std::erase_if(name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); });
                           return name + "_" + std::to_string(test.param);
                         });

}  // namespace
}  // namespace exo::kernels
