#pragma once
// Tensors of a file → weights and vectors of a device, with their shapes checked. Remembers what was asked for, so
// that a tensor which the description does not know is noticed instead of ignored.

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "formats/gguf.h"
#include "model/stage.h"
#include "ops/ops.h"

namespace exo::model {

class TensorLoader {
 public:
  // All arguments outlive the loader; `expected` are the tensors that will be asked for (stage_tensors).
  TensorLoader(const formats::GgufFile& file, std::span<const formats::TensorView* const> expected, ops::Ops& ops,
               const LoadProgress& progress);

  bool has(std::string_view name) const { return file_.find_tensor(name) != nullptr; }

  // A whole matrix of `rows` outputs by `cols` inputs. kNotFound, kCorrupt for another shape, kUnsupported for a
  // number format, kCancelled.
  Result<ops::Weight> matrix(std::string_view name, int64_t rows, int64_t cols);
  // Rows [first, first + count) of a matrix of `rows` outputs: one of several projections stored as one tensor.
  Result<ops::Weight> matrix_rows(std::string_view name, int64_t rows, int64_t cols, int64_t first, int64_t count);

  // Any number format becomes f32 in device memory.
  Result<ops::Vector> vector(std::string_view name, int64_t size);
  Result<ops::Vector> optional_vector(std::string_view name, int64_t size);  // empty when there is no such tensor

  // kUnsupported names the first expected tensor that nobody asked for.
  Status check_all_used() const;
  // The memory of the vectors; to be kept as long as they.
  std::vector<std::unique_ptr<ops::Buffer>> take_buffers() { return std::move(buffers_); }
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  Result<const formats::TensorView*> find(std::string_view name);
  Status read_in(const formats::TensorView& tensor);

  const formats::GgufFile& file_;
  std::span<const formats::TensorView* const> expected_;
  ops::Ops& ops_;
  const LoadProgress& progress_;
  std::set<std::string, std::less<>> used_;
  std::vector<std::unique_ptr<ops::Buffer>> buffers_;
  uint64_t done_bytes_ = 0, total_bytes_ = 0;
  size_t prefetched_ = 0;  // index into expected_
};

}  // namespace exo::model
