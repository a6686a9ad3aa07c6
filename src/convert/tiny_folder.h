#pragma once
// For tests: a folder that is written file by file and goes away with the object.

#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace exo::convert {

struct TinyTensor {
  std::vector<int64_t> shape;
  float first = 0.0f;  // element i is first + i
};

class TinyFolder {
 public:
  TinyFolder() {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() / fmt::format("exo-folder-test-{}-{}", ::getpid(), ++count);
    std::filesystem::create_directories(path_);
  }
  ~TinyFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TinyFolder(const TinyFolder&) = delete;
  TinyFolder& operator=(const TinyFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

  void write(const std::string& name, std::string_view text) const {
    std::ofstream file(path_ / name, std::ios::binary);
    file.write(text.data(), static_cast<std::streamsize>(text.size()));
    EXO_CHECK(file.good());
  }
  void write(const std::string& name, const boost::json::object& object) const {
    write(name, boost::json::serialize(object));
  }

  // F32 tensors as a safetensors file.
  void write_tensors(const std::string& name, const std::map<std::string, TinyTensor>& tensors) const {
    boost::json::object header;
    std::string data;
    for (const auto& [tensor, value] : tensors) {
      size_t elements = 1;
      for (const int64_t extent : value.shape) elements *= static_cast<size_t>(extent);
      const size_t begin = data.size();
      for (size_t i = 0; i < elements; ++i) {
        const float number = value.first + static_cast<float>(i);
        data.append(reinterpret_cast<const char*>(&number), sizeof number);
      }
      header[tensor] = {{"dtype", "F32"},
                        {"shape", boost::json::array(value.shape.begin(), value.shape.end())},
                        {"data_offsets", {begin, data.size()}}};
    }
    std::string text = boost::json::serialize(header);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    std::string bytes(8, '\0');
    const uint64_t length = text.size();
    std::memcpy(bytes.data(), &length, sizeof length);
    write(name, bytes + text + data);
  }

 private:
  std::filesystem::path path_;
};

}  // namespace exo::convert
