#pragma once
// A model as Hugging Face's libraries store it: config.json, model.safetensors in one or several files, the files
// of its tokenizer.

#include <boost/json/object.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/safetensors.h"

namespace exo::convert {

// Immutable; any thread. Whoever keeps views of its tensors keeps it.
class ModelFolder {
 public:
  // config.json and safetensors files are there. Reads nothing.
  static bool is_model_folder(const std::filesystem::path& folder);

  // Reads config.json and generation_config.json and maps the files of weights. kNotFound names the file that is
  // missing, and a tensor in it; kCorrupt what is malformed.
  static Result<std::shared_ptr<const ModelFolder>> open(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  const boost::json::object& config() const { return config_; }
  const boost::json::object& generation_config() const { return generation_config_; }  // empty when there is none
  // A text file of the folder (tokenizer.json); nullopt when it is not there, kResourceExhausted above 256 MiB.
  Result<std::optional<std::string>> text(std::string_view file_name) const;

  const formats::SafetensorsTensor* find(std::string_view name) const;  // nullptr: no such tensor
  // All of them by name.
  const std::map<std::string_view, const formats::SafetensorsTensor*>& tensors() const { return tensors_; }
  uint64_t weight_bytes() const;  // of all files

 private:
  Status open_shard(const std::string& file_name);
  Status open_indexed(const std::string& index);
  Status index_tensors();

  std::filesystem::path path_;
  boost::json::object config_, generation_config_;
  std::map<std::string, formats::SafetensorsFile> shards_;  // by file name
  std::map<std::string_view, const formats::SafetensorsTensor*> tensors_;
};

using FolderPtr = std::shared_ptr<const ModelFolder>;

}  // namespace exo::convert
