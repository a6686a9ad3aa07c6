#pragma once
// What `-m MODEL` means on the command line: a file, or the name of an installed model.

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "base/element_type.h"
#include "base/result.h"
#include "formats/gguf.h"

namespace exo::app {

// The bundled model, as it lies in the binary.
std::span<const std::byte> demo_model_bytes();
inline constexpr const char* kDemoModelName = "exo-demo";

// An existing path wins over an installed name. The error lists the installed names. With `quantise` weights in
// plain numbers are of that format.
Result<std::shared_ptr<const formats::GgufFile>> open_model(const std::string& argument,
                                                            const std::filesystem::path& data_dir,
                                                            std::optional<ElementType> quantise = {});

}  // namespace exo::app
