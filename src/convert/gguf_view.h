#pragma once
// A Hugging Face model folder seen as a GGUF file: everything behind the files of models knows only those.

#include <filesystem>

#include "base/result.h"
#include "convert/model_folder.h"
#include "formats/gguf.h"

namespace exo::convert {

// Metadata and tensor names are those of the same model's GGUF files, with these differences: queries and keys of
// llama's kin keep the folder's order of rows (`exo.rope.halves`), the tokenizer is the folder's own
// (`tokenizer.huggingface.json`), and numbers stay in the folder's format. The header depends on the folder's
// contents alone, not on its place. kUnsupported names an architecture, a scheme or a tensor that is not known;
// kNotFound and kCorrupt what is missing or malformed. The result keeps the folder's files mapped.
Result<formats::GgufFile> view_as_gguf(FolderPtr folder);
Result<formats::GgufFile> open_folder(const std::filesystem::path& folder);

}  // namespace exo::convert
