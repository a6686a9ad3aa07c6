#include "app/model_argument.h"

extern "C" const char exo_demo_model[];
extern "C" const size_t exo_demo_model_size;

namespace exo::app {

std::span<const std::byte> demo_model_bytes() {
  return {reinterpret_cast<const std::byte*>(exo_demo_model), exo_demo_model_size};
}

Result<std::shared_ptr<const formats::GgufFile>> open_model(const std::string& argument, const std::filesystem::path& data_dir) {
  std::error_code ignored;
  if (std::filesystem::exists(argument, ignored)) {
    EXO_TRY(auto file, formats::GgufFile::open(argument));
    return std::make_shared<const formats::GgufFile>(std::move(file));
  }
  const auto installed = data_dir / "models" / (argument + ".gguf");
  if (std::filesystem::exists(installed, ignored)) return open_model(installed.string(), data_dir);
  if (argument == kDemoModelName) {
    EXO_TRY(auto file, formats::GgufFile::parse(demo_model_bytes()));
    return std::make_shared<const formats::GgufFile>(std::move(file));
  }
  std::string names = kDemoModelName;
  for (const auto& entry : std::filesystem::directory_iterator(data_dir / "models", ignored)) {
    if (entry.path().extension() == ".gguf" && entry.path().stem() != kDemoModelName) names += ", " + entry.path().stem().string();
  }
  return fail(ErrorCode::kNotFound, "there is no file and no installed model '{}'; installed: {}", argument, names);
}

}  // namespace exo::app
