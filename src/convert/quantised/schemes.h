#pragma once
// The ways in which folders quantise, one file each. All give kNotFound when the folder stores the module's weight
// plainly or not at all, kUnsupported for a variant that is not known, kCorrupt when tensors do not fit together.
// Rows are outputs; tensors of more than two dimensions (experts) are one matrix of all their rows.

#include <boost/json/object.hpp>

#include "base/result.h"
#include "convert/matrix_source.h"
#include "convert/quantised/module_tensors.h"

namespace exo::convert {

// MODULE.weight U32, .scales and, for mode "affine", .biases: w = scale * q + bias, q of 2, 3, 4, 5, 6 or 8 bits in
// a little-endian stream of bits per row. `scheme` has bits and group_size, and objects with others of them by
// module. Held without loss when scales are F16 (Q4_1, Q5_1, A8_F16) or BF16 (A4_BF16, A5_BF16, A8_BF16); F32
// scales are rounded to F16. Modes "mxfp4" and "nvfp4" become the types of that name.
// https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html
Result<MatrixPtr> mlx_weight(const ModuleTensors& tensors, const boost::json::object& scheme);

// MODULE.qweight I32 [inputs * bits / 32, outputs], .qzeros, .scales, .g_idx; bits 2, 4 or 8. Symmetric weights
// become Q4_0 or Q8_0 (A4_BF16, A8_BF16 with BF16 scales) without loss; others Q4_1 or A8_F16, whose minimum, zero
// point times scale, is rounded to F16: at most 1/128 of a step of 4 bits, 1/8 of one of 8 bits. Act-order, where
// the groups' members are spread over the row, becomes F16.
Result<MatrixPtr> gptq_weight(const ModuleTensors& tensors, const boost::json::object& scheme);

// MODULE.qweight I32 [inputs, outputs / 8], .qzeros, .scales: Q4_1, with the minimum rounded as for GPTQ.
Result<MatrixPtr> awq_weight(const ModuleTensors& tensors, const boost::json::object& scheme);

// MODULE.weight of F8_E4M3 or F8_E5M2 with .weight_scale_inv or .weight_scale (both are factors): one per tensor,
// per row, or per block of scheme's weight_block_size; or none. Read as BF16 where that is exact (no scale, powers
// of two) or F16's range is too small, else as F16, which rounds to 11 bits instead of 8.
Result<MatrixPtr> fp8_weight(const ModuleTensors& tensors, const boost::json::object& scheme);
bool is_fp8(formats::SafetensorsType type);

// MODULE_blocks U8 [experts, outputs, inputs / 32, 16] and MODULE_scales (gpt-oss): MXFP4, exactly.
Result<MatrixPtr> mxfp4_weight(const ModuleTensors& tensors);
// Codes of FP4 in order, two in a byte, with the block's scales: what MLX and others write. [rows, cols] of
// `tensor` counts codes; `scales` has one byte per 32 (MXFP4) or 16 (NVFP4).
MatrixPtr fp4_matrix(ElementType type, int64_t rows, int64_t cols, const formats::SafetensorsTensor& codes,
                     const formats::SafetensorsTensor& scales);

// What compressed-tensors writes besides FP8: .weight_packed I32 with 4 or 8 bits (Q4_0, Q8_0, Q4_1 or A8_F16), I8
// weights with a scale per row (Q8_0 or A8_BF16).
Result<MatrixPtr> compressed_weight(const ModuleTensors& tensors, const boost::json::object& scheme);

}  // namespace exo::convert
