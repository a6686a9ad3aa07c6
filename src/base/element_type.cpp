#include "base/element_type.h"

#include <algorithm>
#include <cctype>

namespace exo {
namespace {

using enum ElementType;
constexpr ElementTypeInfo kTypes[] = {
    {kF32, "F32", 1, 4},
    {kF16, "F16", 1, 2},
    {kQ4_0, "Q4_0", 32, 18},
    {kQ4_1, "Q4_1", 32, 20},
    {kQ5_0, "Q5_0", 32, 22},
    {kQ5_1, "Q5_1", 32, 24},
    {kQ8_0, "Q8_0", 32, 34},
    {kQ8_1, "Q8_1", 32, 36},
    {kQ2_K, "Q2_K", 256, 84},
    {kQ3_K, "Q3_K", 256, 110},
    {kQ4_K, "Q4_K", 256, 144},
    {kQ5_K, "Q5_K", 256, 176},
    {kQ6_K, "Q6_K", 256, 210},
    {kQ8_K, "Q8_K", 256, 292},
    {kIQ2_XXS, "IQ2_XXS", 256, 66},
    {kIQ2_XS, "IQ2_XS", 256, 74},
    {kIQ3_XXS, "IQ3_XXS", 256, 98},
    {kIQ1_S, "IQ1_S", 256, 50},
    {kIQ4_NL, "IQ4_NL", 32, 18},
    {kIQ3_S, "IQ3_S", 256, 110},
    {kIQ2_S, "IQ2_S", 256, 82},
    {kIQ4_XS, "IQ4_XS", 256, 136},
    {kI8, "I8", 1, 1},
    {kI16, "I16", 1, 2},
    {kI32, "I32", 1, 4},
    {kI64, "I64", 1, 8},
    {kF64, "F64", 1, 8},
    {kIQ1_M, "IQ1_M", 256, 56},
    {kBF16, "BF16", 1, 2},
    {kTQ1_0, "TQ1_0", 256, 54},
    {kTQ2_0, "TQ2_0", 256, 66},
    {kMXFP4, "MXFP4", 32, 17},
    {kNVFP4, "NVFP4", 64, 36},
    {kA4_BF16, "A4_BF16", 32, 20},
    {kA5_BF16, "A5_BF16", 32, 24},
    {kA8_BF16, "A8_BF16", 32, 36},
    {kA8_F16, "A8_F16", 32, 36},
};

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b,
                            [](unsigned char x, unsigned char y) { return std::toupper(x) == std::toupper(y); });
}

}  // namespace

const ElementTypeInfo* find_element_type(uint32_t ggml_id) {
  const auto* it = std::ranges::find(kTypes, static_cast<ElementType>(ggml_id), &ElementTypeInfo::type);
  return it == std::end(kTypes) ? nullptr : it;
}

const ElementTypeInfo* find_element_type(std::string_view name) {
  const auto* it = std::ranges::find_if(kTypes, [&](const auto& t) { return equal_ignoring_case(t.name, name); });
  return it == std::end(kTypes) ? nullptr : it;
}

const ElementTypeInfo& info(ElementType type) { return *find_element_type(static_cast<uint32_t>(type)); }

std::optional<uint64_t> row_bytes(ElementType type, uint64_t elements) {
  const auto& t = info(type);
  if (elements % t.block_elements != 0) return std::nullopt;
  uint64_t bytes;
  if (__builtin_mul_overflow(elements / t.block_elements, static_cast<uint64_t>(t.block_bytes), &bytes))
    return std::nullopt;
  return bytes;
}

}  // namespace exo
