#pragma once
// A model's file with its weights in another number format. Nothing is converted until it is read, and then row by
// row: neither the view nor its use ever holds the model.

#include <filesystem>
#include <functional>

#include "base/element_type.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace exo::convert {

// True when quantised_view would change anything.
bool is_quantisable(const formats::GgufFile& file, ElementType type);

// The file's matrices that are stored in F32, F16 or BF16, in `type`; what is quantised already stays. Kept as they
// are: vectors, routers of experts, tables of positions, filters. Rows that are no whole blocks of `type` take the
// nearest format of smaller blocks, or stay; a warning in the log says so. The matrix before the logits (the
// embedding, when that serves for it) has at least Q6_K. The result reads on several threads at once.
// kInvalidArgument: nothing can be quantised to `type`.
Result<formats::GgufFile> quantised_view(formats::GgufFile file, ElementType type);

// Everything that can be dequantised as F32: the same weights without quantised arithmetic, the reference for what
// that loses. Formats without numbers (I32) stay. The result reads on several threads at once.
Result<formats::GgufFile> widened_view(formats::GgufFile file);

// Parses a `type` of the command line ("Q4_K"); kInvalidArgument lists those that exist.
Result<ElementType> parse_quantised_type(std::string_view name);

// Writes the file, whole or split, on the disk or assembled, as one GGUF file. `progress` gets the bytes of weights
// written so far and in all. `more_keys` may set metadata that the file does not have.
Status write_gguf(const formats::GgufFile& file, const std::filesystem::path& path,
                  const std::function<void(uint64_t done, uint64_t total)>& progress = {},
                  const std::function<void(formats::GgufWriter& writer)>& more_keys = {});

}  // namespace exo::convert
