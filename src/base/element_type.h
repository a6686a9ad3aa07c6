#pragma once
// Number formats of tensors: ggml's types by ggml's ids, which GGUF files store, and this project's own for what
// other model folders hold and ggml has no type for, by ids far from ggml's. Block layouts are in kernels/blocks.h;
// this header knows only their sizes, which is what parsers check.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace exo {

enum class ElementType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ8_1 = 9,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kQ8_K = 15,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kI8 = 24,
  kI16 = 25,
  kI32 = 26,
  kI64 = 27,
  kF64 = 28,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  // scale * q + minimum per 32 elements, as MLX defines it; the number is the bits of q, the name's end the format
  // of scale and minimum. (With F16 scales and 4 or 5 bits these are kQ4_1 and kQ5_1.)
  kA4_BF16 = 1004,
  kA5_BF16 = 1005,
  kA8_BF16 = 1008,
  kA8_F16 = 1108,
};

struct ElementTypeInfo {
  ElementType type;
  std::string_view name;  // as ggml prints it: "Q4_K"
  int32_t block_elements;
  int32_t block_bytes;
};

// nullptr for an id that is not listed (foreign bytes may hold any).
const ElementTypeInfo* find_element_type(uint32_t ggml_id);
// Case-insensitive by name; nullptr when unknown.
const ElementTypeInfo* find_element_type(std::string_view name);
// For a listed type.
const ElementTypeInfo& info(ElementType type);

// Bytes of a row of `elements`; nullopt when it is no whole number of blocks or overflows.
std::optional<uint64_t> row_bytes(ElementType type, uint64_t elements);

}  // namespace exo
