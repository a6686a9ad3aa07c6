#pragma once
// Tensors of a file → weights and vectors of a device, with their shapes checked. Remembers what was asked for, so
// that a tensor which the description does not know is noticed instead of ignored.

#include <map>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/thread_pool.h"
#include "formats/gguf.h"
#include "model/stage.h"
#include "model/stage_tensors.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

// Memory of the host, 64-byte aligned, for weights that are made while loading. Not zeroed.
class HostBytes {
 public:
  static Result<HostBytes> allocate(uint64_t size);  // kResourceExhausted
  std::span<std::byte> bytes() const { return {data_.get(), size_}; }

 private:
  static constexpr size_t kAlignment = 64;
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{kAlignment}); }
  };
  std::unique_ptr<std::byte[], Free> data_;
  size_t size_ = 0;
};

// What the loaded weights and vectors point into, beside the file.
struct LoadedMemory {
  std::vector<std::unique_ptr<ops::Buffer>> buffers;
  std::vector<HostBytes> made;
  std::vector<std::vector<std::span<const std::byte>>> parts;
};

class TensorLoader {
 public:
  // What is brought into memory of a tensor that is asked for: all of it, only the rows that are, or nothing yet.
  enum class Reads { kAll, kRows, kNothing };

  // All arguments outlive the loader; `expected` are the tensors that will be asked for (stage_tensors), and
  // `total_bytes` of them in all.
  TensorLoader(const formats::GgufFile& file, std::span<const formats::TensorView* const> expected,
               uint64_t total_bytes, ops::Ops& ops, const LoadProgress& progress, Reads reads = Reads::kAll);
  // Without a device: the same requests read nothing and only tell which bytes they would (pieces). The weights and
  // vectors that they return are empty.
  TensorLoader(const formats::GgufFile& file, std::span<const formats::TensorView* const> expected);

  bool has(std::string_view name) const { return file_.find_tensor(name) != nullptr; }

  // A whole matrix of `rows` outputs by `cols` inputs. kNotFound, kCorrupt for another shape, kUnsupported for a
  // number format, kCancelled.
  Result<ops::Weight> matrix(std::string_view name, int64_t rows, int64_t cols);
  // Rows [first, first + count) of a matrix of `rows` outputs: one of several projections stored as one tensor.
  Result<ops::Weight> matrix_rows(std::string_view name, int64_t rows, int64_t cols, int64_t first, int64_t count);

  // `n_matrices` of `rows` by `cols` stored as one tensor: the experts of a block.
  Result<ops::Weight> matrices(std::string_view name, int64_t n_matrices, int64_t rows, int64_t cols);
  // Of `which.of` matrices these.
  Result<ops::Weight> matrices_of(std::string_view name, RowPart which, int64_t rows, int64_t cols);
  // Of each matrix these rows.
  Result<ops::Weight> matrices_rows(std::string_view name, int64_t n_matrices, RowPart rows, int64_t cols);

  // `n_matrices` of `count` by `cols`, matrix i being rows [i * period + first, + count) of a tensor of n_matrices
  // * period rows: what each head has of a projection stored as one tensor.
  struct Interleaved {
    int64_t n_matrices = 0, period = 0, first = 0, count = 0;
    RowPart matrices = {};  // only these of n_matrices; none said: all
    RowPart chosen() const { return matrices.count > 0 ? matrices : RowPart::all(n_matrices); }
  };
  Result<ops::Weight> interleaved_matrices(std::string_view name, const Interleaved& rows, int64_t cols);
  // The same numbers of a vector, one matrix's after the other's; empty when there is no such tensor.
  Result<ops::Vector> optional_interleaved_vector(std::string_view name, const Interleaved& rows);
  // The same, each matrix transposed: `cols` by `count`. Quantised numbers become F32.
  Result<ops::Weight> transposed_matrices(std::string_view name, const Interleaved& rows, int64_t cols);

  // Such rows of a matrix, those of the first entry above those of the next, as one matrix. All entries have the
  // same number of rows in the tensor.
  Result<ops::Weight> gathered_rows(std::string_view name, std::span<const Interleaved> parts, int64_t cols);

  // A matrix as a vector of `cols` times `rows` numbers, transposed: its first column, its second, …
  Result<ops::Vector> transposed_vector(std::string_view name, int64_t rows, int64_t cols);

  // Any number format becomes f32 in device memory.
  Result<ops::Vector> vector(std::string_view name, int64_t size);
  Result<ops::Vector> optional_vector(std::string_view name, int64_t size);  // empty when there is no such tensor

  // kUnsupported names the first expected tensor that nobody asked for.
  Status check_all_used() const;
  // To be kept as long as the weights and vectors.
  LoadedMemory take_memory();
  const std::vector<TensorPiece>& pieces() const { return pieces_; }  // in the order of the requests

 private:
  Result<const formats::TensorView*> find(std::string_view name);
  bool only_lists() const { return ops_ == nullptr; }
  Status read_in(const formats::TensorView& tensor);
  Status fault_in(std::span<const std::byte> bytes);
  void fault_in_together(std::span<const std::byte> bytes);
  Result<HostBytes> make(const formats::TensorView& tensor, uint64_t begin, uint64_t size);
  Status add_progress(uint64_t bytes);
  Result<ops::Weight> load(const formats::TensorView& tensor, ops::WeightSource source);
  std::span<const std::span<const std::byte>> apart(const formats::TensorView& tensor) const;
  Result<std::span<const std::byte>> rows_of(const formats::TensorView& tensor, uint64_t begin, uint64_t size);
  Result<std::span<const std::byte>> brought_in(std::span<const std::byte> rows);

  const formats::GgufFile& file_;
  std::span<const formats::TensorView* const> expected_;
  ops::Ops* const ops_;  // null: requests only tell which bytes they would read
  const LoadProgress progress_;
  const Reads reads_;
  std::vector<TensorPiece> pieces_;
  std::set<std::string, std::less<>> used_;
  std::vector<std::unique_ptr<ops::Buffer>> buffers_;
  std::map<std::string, HostBytes, std::less<>> made_;  // by tensor name
  std::vector<HostBytes> rearranged_;
  std::vector<std::vector<std::span<const std::byte>>> parts_;
  uint64_t done_bytes_ = 0, total_bytes_ = 0;
  size_t prefetched_ = 0;  // index into expected_
  std::unique_ptr<ThreadPool> readers_;
};

}  // namespace exo::model
