#include "convert/quantised/grouped_matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "kernels/block_codes.h"
#include "kernels/blocks.h"
#include "kernels/half.h"

namespace exo::convert {
namespace {

using namespace kernels;

constexpr int64_t kTileRows = 64;  // unpacked at once: packings along the outputs are read in runs of them
constexpr int kBlock = 32;

struct Halves {
  uint16_t scale, minimum;
};

Halves f16_of(GroupScale s) { return {f32_to_f16(s.scale), f32_to_f16(s.minimum)}; }
Halves bf16_of(GroupScale s) { return {f32_to_bf16(s.scale), f32_to_bf16(s.minimum)}; }

void put_4(Halves s, const uint8_t* codes, std::byte* out) {
  BlockQ4_1 b{s.scale, s.minimum, {}};
  set_nibbles(codes, b.q);
  std::memcpy(out, &b, sizeof b);
}

void put_5(Halves s, const uint8_t* codes, std::byte* out) {
  BlockQ5_1 b{s.scale, s.minimum, fifth_bits(codes), {}};
  set_nibbles(codes, b.q);
  std::memcpy(out, &b, sizeof b);
}

void put_8(Halves s, const uint8_t* codes, std::byte* out) {
  BlockA8 b{s.scale, s.minimum, {}};
  std::copy_n(codes, kBlock, b.q);
  std::memcpy(out, &b, sizeof b);
}

void put_4_symmetric(Halves s, const uint8_t* codes, std::byte* out) {
  BlockQ4_0 b{s.scale, {}};
  set_nibbles(codes, b.q);
  std::memcpy(out, &b, sizeof b);
}

void put_8_symmetric(Halves s, const uint8_t* codes, std::byte* out) {
  BlockQ8_0 b{s.scale, {}};
  for (int i = 0; i < kBlock; ++i) b.q[i] = static_cast<int8_t>(codes[i] - 128);
  std::memcpy(out, &b, sizeof b);
}

void put_block(ElementType type, GroupScale s, const uint8_t* codes, std::byte* out) {
  switch (type) {
    using enum ElementType;
    case kQ4_0:
      return put_4_symmetric(f16_of(s), codes, out);
    case kQ4_1:
      return put_4(f16_of(s), codes, out);
    case kA4_BF16:
      return put_4(bf16_of(s), codes, out);
    case kQ5_1:
      return put_5(f16_of(s), codes, out);
    case kA5_BF16:
      return put_5(bf16_of(s), codes, out);
    case kQ8_0:
      return put_8_symmetric(f16_of(s), codes, out);
    case kA8_F16:
      return put_8(f16_of(s), codes, out);
    case kA8_BF16:
      return put_8(bf16_of(s), codes, out);
    default:
      EXO_CHECK(false);
  }
}

bool fits(ElementType type, GroupScale s) {
  constexpr float kLargestHalf = 65504.0f;
  const bool bfloat =
      type == ElementType::kA4_BF16 || type == ElementType::kA5_BF16 || type == ElementType::kA8_BF16;
  const float most = bfloat ? 3.38e38f : kLargestHalf;
  return std::fabs(s.scale) <= most && std::fabs(s.minimum) <= most;  // false for NaN
}

}  // namespace

GroupedMatrix::GroupedMatrix(ElementType type, int64_t rows, int64_t cols, int64_t group_size)
    : MatrixSource(type, rows, cols), group_size_(group_size), n_groups_((cols + group_size - 1) / group_size) {}

Status GroupedMatrix::read(int64_t first, int64_t count, std::span<std::byte> out) const {
  const auto row = static_cast<size_t>(*row_bytes(type(), static_cast<uint64_t>(cols())));
  EXO_CHECK(first >= 0 && count >= 0 && first + count <= rows() && out.size() == row * static_cast<size_t>(count));
  std::vector<uint8_t> codes(static_cast<size_t>(std::min(count, kTileRows) * cols()));
  std::vector<GroupScale> scales(static_cast<size_t>(n_groups_));
  for (int64_t tile = 0; tile < count; tile += kTileRows) {
    const int64_t n = std::min(kTileRows, count - tile);
    unpack(first + tile, n, codes.data());
    for (int64_t r = 0; r < n; ++r) {
      EXO_CHECK_OK(read_row(first + tile + r, codes.data() + r * cols(),
                            out.data() + static_cast<size_t>(tile + r) * row, scales));
    }
  }
  return {};
}

Status GroupedMatrix::read_row(int64_t row, const uint8_t* codes, std::byte* out,
                               std::vector<GroupScale>& scales) const {
  for (int64_t g = 0; g < n_groups_; ++g) {
    auto& scale = scales[static_cast<size_t>(g)];
    EXO_TRY(scale, scale_of(row, g));
    if (!fits(type(), scale)) {
      return fail(ErrorCode::kCorrupt, "row {} has a scale of {} and a minimum of {}", row, scale.scale,
                  scale.minimum);
    }
  }
  if (type() == ElementType::kF16) {
    const auto groups = group_of_column();
    for (int64_t c = 0; c < cols(); ++c) {
      const auto g = groups.empty() ? c / group_size_ : int64_t{groups[static_cast<size_t>(c)]};
      const auto& s = scales[static_cast<size_t>(g)];
      const uint16_t half = f32_to_f16(s.scale * static_cast<float>(codes[c]) + s.minimum);
      if ((half & 0x7c00) == 0x7c00)
        return fail(ErrorCode::kCorrupt, "row {} has a weight beyond F16's range", row);
      std::memcpy(out + 2 * c, &half, 2);
    }
    return {};
  }
  const auto block = info(type()).block_bytes;
  for (int64_t c = 0; c < cols(); c += kBlock, out += block) {
    put_block(type(), scales[static_cast<size_t>(c / group_size_)], codes + c, out);
  }
  return {};
}

Status check_groups(std::string_view module, int64_t cols, int64_t group_size) {
  if (group_size > 0 && cols % kBlock == 0 && cols % group_size == 0 && group_size % kBlock == 0) return {};
  return fail(ErrorCode::kUnsupported,
              "'{}': groups of {} of {} weights; 32, 64, 96, … of a whole number are known", module, group_size,
              cols);
}

void unpack_bits(const std::byte* from, int bits, int64_t count, uint8_t* codes) {
  const unsigned mask = (1u << bits) - 1;
  unsigned held = 0;
  int n_held = 0;
  for (int64_t i = 0; i < count; ++i) {
    if (n_held < bits) {
      held |= static_cast<unsigned>(*from++) << n_held;
      n_held += 8;
    }
    codes[i] = static_cast<uint8_t>(held & mask);
    held >>= bits;
    n_held -= bits;
  }
}

}  // namespace exo::convert
