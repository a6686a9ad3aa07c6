#pragma once
// Collects what the GGUF view of a folder consists of: metadata, and tensors with their contents.

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "convert/matrix_source.h"
#include "convert/model_folder.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace exo::convert {

class ViewBuilder {
 public:
  explicit ViewBuilder(FolderPtr folder) : folder_(std::move(folder)) {}

  const ModelFolder& folder() const { return *folder_; }
  formats::GgufWriter& metadata() { return writer_; }

  // A module's weight, or a tensor by its whole name; nullptr when the folder has none. Remembers what was asked
  // for.
  Result<MatrixPtr> weight(const std::string& module);
  Result<MatrixPtr> tensor(const std::string& name);
  // A tensor that belongs to no model that text goes through, or is computed anew; or all that begin so.
  void leave_out(std::string_view name) { used_.emplace(name); }
  void leave_out_all(std::string_view prefix) { left_out_.emplace_back(prefix); }

  // A matrix has the shape {cols, rows}, a vector {rows * cols}, a stack {cols, rows, parts}: parts of equal size.
  // kCorrupt for parts that differ, and for rows that are no whole blocks.
  Status add_matrix(const std::string& name, MatrixPtr matrix);
  Status add_vector(const std::string& name, MatrixPtr matrix);
  Status add_stack(const std::string& name, std::vector<MatrixPtr> parts);

  // kUnsupported names the first tensor of the folder that nothing was made of.
  Status check_all_used() const;
  Result<formats::GgufFile> finish() &&;

 private:
  Status add(const std::string& name, std::vector<int64_t> shape, std::vector<MatrixPtr> parts);
  bool is_used(std::string_view tensor) const;

  FolderPtr folder_;
  formats::GgufWriter writer_;
  std::vector<formats::GgufFile::Body> bodies_;
  std::set<std::string, std::less<>> used_, names_;
  std::vector<std::string> left_out_;
};

}  // namespace exo::convert
