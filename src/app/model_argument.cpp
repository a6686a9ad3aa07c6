#include "app/model_argument.h"

#include "store/model_store.h"

extern "C" const char exo_demo_model[];
extern "C" const size_t exo_demo_model_size;

namespace exo::app {

std::span<const std::byte> demo_model_bytes() {
  return {reinterpret_cast<const std::byte*>(exo_demo_model), exo_demo_model_size};
}

Result<std::shared_ptr<const formats::GgufFile>> open_model(const std::string& argument,
                                                            const std::filesystem::path& data_dir,
                                                            std::optional<ElementType> quantise) {
  store::StoreOptions options;
  options.data_dir = data_dir;
  options.quantise = quantise;
  options.embedded.push_back({kDemoModelName, demo_model_bytes()});
  store::ModelStore store(std::move(options));
  EXO_TRY(const auto stored, store.find(argument));
  if (!stored.complete) return fail(ErrorCode::kNotFound, "only parts of {} are on this device", stored.name);
  EXO_TRY(auto file, store::ModelStore::open(stored));
  return std::make_shared<const formats::GgufFile>(std::move(file));
}

}  // namespace exo::app
