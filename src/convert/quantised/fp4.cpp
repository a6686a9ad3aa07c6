#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "convert/quantised/schemes.h"
#include "kernels/blocks.h"

namespace exo::convert {
namespace {

using formats::SafetensorsTensor;
using formats::SafetensorsType;

// Bytes with two codes each, in order → bytes with the first half's codes in the low nibbles.
template <int kCodes>
void regroup(const std::byte* from, uint8_t* to) {
  const auto code = [&](int i) { return static_cast<uint8_t>(from[i / 2]) >> (4 * (i % 2)) & 15; };
  for (int i = 0; i < kCodes / 2; ++i) to[i] = static_cast<uint8_t>(code(i) | code(kCodes / 2 + i) << 4);
}

class Fp4Matrix final : public MatrixSource {
 public:
  Fp4Matrix(ElementType type, int64_t rows, int64_t cols, const SafetensorsTensor& codes,
            const SafetensorsTensor& scales)
      : MatrixSource(type, rows, cols), codes_(codes), scales_(scales) {}

  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const bool nv = type() == ElementType::kNVFP4;
    const int64_t block = info(type()).block_elements, blocks = cols() / block;
    EXO_CHECK(first >= 0 && count >= 0 && first + count <= rows() &&
              out.size() == static_cast<size_t>(count * blocks * info(type()).block_bytes));
    const std::byte* codes = codes_.data.data() + first * cols() / 2;
    const std::byte* scales = scales_.data.data() + first * blocks * (nv ? 4 : 1);
    for (std::byte *to = out.data(), *end = to + out.size(); to != end; to += info(type()).block_bytes) {
      nv ? put_nvfp4(codes, scales, to) : put_mxfp4(codes, scales, to);
      codes += block / 2;
      scales += nv ? 4 : 1;
    }
    return {};
  }

 private:
  static void put_mxfp4(const std::byte* codes, const std::byte* scales, std::byte* to) {
    kernels::BlockMXFP4 b;
    b.e = static_cast<uint8_t>(*scales);
    regroup<32>(codes, b.q);
    std::memcpy(to, &b, sizeof b);
  }
  static void put_nvfp4(const std::byte* codes, const std::byte* scales, std::byte* to) {
    kernels::BlockNVFP4 b;
    std::memcpy(b.scales, scales, sizeof b.scales);
    for (int i = 0; i < 4; ++i) regroup<16>(codes + 8 * i, b.q + 8 * i);
    std::memcpy(to, &b, sizeof b);
  }

  const SafetensorsTensor& codes_;
  const SafetensorsTensor& scales_;
};

}  // namespace

MatrixPtr fp4_matrix(ElementType type, int64_t rows, int64_t cols, const SafetensorsTensor& codes,
                     const SafetensorsTensor& scales) {
  return std::make_shared<Fp4Matrix>(type, rows, cols, codes, scales);
}

Result<MatrixPtr> mxfp4_weight(const ModuleTensors& tensors) {
  if (tensors.find("_blocks") == nullptr) return tensors.error(ErrorCode::kNotFound, "it is not quantised");
  EXO_TRY(const auto* codes, tensors.get("_blocks", {SafetensorsType::kU8}, 4));
  const auto& shape = codes->shape;
  if (shape[3] != 16) {
    return tensors.error(ErrorCode::kCorrupt, "tensor '{}' has blocks of {} bytes instead of 16", codes->name,
                         shape[3]);
  }
  EXO_TRY(const auto* scales, tensors.get("_scales", {SafetensorsType::kU8}, {shape[0], shape[1], shape[2]}));
  return fp4_matrix(ElementType::kMXFP4, shape[0] * shape[1], shape[2] * 32, *codes, *scales);
}

}  // namespace exo::convert
