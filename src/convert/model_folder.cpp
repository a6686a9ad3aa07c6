#include "convert/model_folder.h"

#include <boost/json/parse.hpp>
#include <cstdio>
#include <system_error>
#include <utility>

#include "formats/json_fields.h"

namespace exo::convert {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

constexpr uintmax_t kMaxTextBytes = 256u << 20;
constexpr uintmax_t kMaxConfigBytes = 16u << 20;
constexpr size_t kMaxShards = 10'000;
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";

// nullopt when there is no such file.
Result<std::optional<std::string>> read_text(const fs::path& path, uintmax_t most) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::optional<std::string>();
  const uintmax_t size = fs::file_size(path, error);
  if (error) return fail(ErrorCode::kUnavailable, "{}: {}", path.string(), error.message());
  if (size > most) {
    return fail(ErrorCode::kResourceExhausted, "{} has {} bytes; at most {} are read", path.string(), size, most);
  }
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  std::string text(size, '\0');
  if (file == nullptr || std::fread(text.data(), 1, size, file.get()) != size) {
    return fail(ErrorCode::kUnavailable, "{} cannot be read", path.string());
  }
  return std::optional(std::move(text));
}

Result<json::object> parse_object(std::string_view text, std::string_view file_name) {
  json::error_code error;
  auto value = json::parse(text, error);
  if (error) return fail(ErrorCode::kCorrupt, "{}: {}", file_name, error.message());
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "{} is no JSON object", file_name);
  return std::move(value.get_object());
}

// The one file of weights of folders that name it otherwise (older quantised models); empty when there is none, or
// several.
std::string sole_weights(const fs::path& folder) {
  std::error_code error;
  std::string found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".safetensors") continue;
    if (!found.empty()) return {};
    found = entry.path().filename().string();
  }
  return found;
}

// A name inside the folder and nothing else.
bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() < 256 && name.find('/') == std::string_view::npos &&
         name.find('\\') == std::string_view::npos && name.find('\0') == std::string_view::npos && name != "..";
}

}  // namespace

bool ModelFolder::is_model_folder(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / "config.json", error)) return false;
  return fs::is_regular_file(folder / kSingle, error) || fs::is_regular_file(folder / kIndex, error) ||
         !sole_weights(folder).empty();
}

Status ModelFolder::open_shard(const std::string& file_name) {
  EXO_TRY(auto shard, formats::SafetensorsFile::open(path_ / file_name));
  shards_.emplace(file_name, std::move(shard));
  return {};
}

Status ModelFolder::open_indexed(const std::string& index_text) {
  EXO_TRY(const auto index, parse_object(index_text, kIndex));
  const auto& map = formats::find_object(index, "weight_map");
  if (map.empty()) return fail(ErrorCode::kCorrupt, "{} lists no tensors", kIndex);
  for (const auto& entry : map) {
    const std::string tensor(entry.key());
    if (!entry.value().is_string() || !is_plain_name(entry.value().get_string())) {
      return fail(ErrorCode::kCorrupt, "{} names no usable file for tensor '{}'", kIndex, tensor);
    }
    const std::string file_name(entry.value().get_string());
    if (!shards_.contains(file_name)) {
      std::error_code error;
      if (!fs::exists(path_ / file_name, error)) {
        return fail(ErrorCode::kNotFound, "the file {} is missing, which holds tensor '{}'", file_name, tensor);
      }
      if (shards_.size() >= kMaxShards) return fail(ErrorCode::kCorrupt, "{} names too many files", kIndex);
      EXO_CHECK_OK(open_shard(file_name));
    }
    if (shards_.at(file_name).find(tensor) == nullptr) {
      return fail(ErrorCode::kNotFound, "{} does not hold tensor '{}', as {} says it does", file_name, tensor,
                  kIndex);
    }
  }
  return {};
}

Status ModelFolder::index_tensors() {
  for (const auto& [file_name, shard] : shards_) {
    for (const auto& [name, tensor] : shard.tensors()) {
      if (!tensors_.emplace(name, &tensor).second) {
        return fail(ErrorCode::kCorrupt, "tensor '{}' is in {} and in another file", name, file_name);
      }
    }
  }
  return {};
}

Result<std::shared_ptr<const ModelFolder>> ModelFolder::open(const fs::path& path) {
  auto folder = std::make_shared<ModelFolder>();
  folder->path_ = path;
  EXO_TRY(const auto config, read_text(path / "config.json", kMaxConfigBytes));
  if (!config) return fail(ErrorCode::kNotFound, "the folder has no config.json");
  EXO_TRY(folder->config_, parse_object(*config, "config.json"));
  EXO_TRY(const auto generation, read_text(path / "generation_config.json", kMaxConfigBytes));
  if (generation) {
    EXO_TRY(folder->generation_config_, parse_object(*generation, "generation_config.json"));
  }
  EXO_TRY(const auto index, read_text(path / kIndex, kMaxTextBytes));
  if (index) {
    EXO_CHECK_OK(folder->open_indexed(*index));
  } else {
    std::error_code error;
    const auto other = fs::exists(path / kSingle, error) ? std::string() : sole_weights(path);
    EXO_CHECK_OK(folder->open_shard(other.empty() ? kSingle : other));
  }
  EXO_CHECK_OK(folder->index_tensors());
  return folder;
}

Result<std::optional<std::string>> ModelFolder::text(std::string_view file_name) const {
  return read_text(path_ / file_name, kMaxTextBytes);
}

const formats::SafetensorsTensor* ModelFolder::find(std::string_view name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second;
}

uint64_t ModelFolder::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& [name, shard] : shards_) bytes += shard.file_bytes();
  return bytes;
}

}  // namespace exo::convert
