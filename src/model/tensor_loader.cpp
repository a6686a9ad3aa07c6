#include "model/tensor_loader.h"

#include <algorithm>

#include "formats/mapped_file.h"

namespace exo::model {
namespace {

using formats::TensorView;

constexpr uint64_t kPrefetchBytes = 512ull << 20;  // how far the disk may run ahead of the loading
constexpr size_t kReadBytes = 32 << 20;            // between two calls of the progress function

std::unexpected<Error> wrong_shape(const TensorView& tensor, int64_t rows, int64_t cols) {
  return fail(ErrorCode::kCorrupt, "tensor '{}' has shape [{}], expected [{}, {}]", tensor.name,
              fmt::join(tensor.shape.begin(), tensor.shape.begin() + std::max(tensor.n_dimensions, 1), ", "), cols,
              rows);
}

// Operations read numbers in place: a file with an odd alignment would make them read across.
bool is_aligned(const TensorView& tensor) {
  const size_t needed = tensor.type == ElementType::kF32 ? 4 : 2;
  return reinterpret_cast<uintptr_t>(tensor.data.data()) % needed == 0;
}

}  // namespace

TensorLoader::TensorLoader(const formats::GgufFile& file, std::span<const TensorView* const> expected,
                           ops::Ops& ops, const LoadProgress& progress)
    : file_(file), expected_(expected), ops_(ops), progress_(progress) {
  for (const auto* tensor : expected_) total_bytes_ += tensor->data.size();
}

Result<const TensorView*> TensorLoader::find(std::string_view name) {
  const auto* tensor = file_.find_tensor(name);
  if (tensor == nullptr) return fail(ErrorCode::kNotFound, "the file has no tensor '{}'", name);
  if (!is_aligned(*tensor)) return fail(ErrorCode::kUnsupported, "tensor '{}' is not aligned in its file", name);
  if (used_.emplace(name).second) EXO_CHECK_OK(read_in(*tensor));
  return tensor;
}

Status TensorLoader::read_in(const TensorView& tensor) {
  for (uint64_t ahead = 0; prefetched_ < expected_.size() && ahead < kPrefetchBytes; ++prefetched_) {
    formats::prefetch(expected_[prefetched_]->data);
    ahead += expected_[prefetched_]->data.size();
    if (expected_[prefetched_] == &tensor) break;
  }
  for (auto rest = tensor.data; !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kReadBytes));
    formats::fault_in(piece);
    rest = rest.subspan(piece.size());
    done_bytes_ += piece.size();
    if (progress_ && !progress_(done_bytes_, total_bytes_)) {
      return fail(ErrorCode::kCancelled, "loading was cancelled");
    }
  }
  return {};
}

Result<ops::Weight> TensorLoader::matrix(std::string_view name, int64_t rows, int64_t cols) {
  return matrix_rows(name, rows, cols, 0, rows);
}

Result<ops::Weight> TensorLoader::matrix_rows(std::string_view name, int64_t rows, int64_t cols, int64_t first,
                                              int64_t count) {
  EXO_TRY(const auto* tensor, find(name));
  if (tensor->shape[0] != cols || tensor->rows() != rows) return wrong_shape(*tensor, rows, cols);
  const auto row = tensor->data.size() / static_cast<size_t>(rows);
  ops::WeightSource source{.type = tensor->type, .rows = count, .cols = cols};
  source.bytes = tensor->data.subspan(static_cast<size_t>(first) * row, static_cast<size_t>(count) * row);
  auto weight = ops_.load(source);
  if (!weight) return std::unexpected(std::move(weight).error().with_context(fmt::format("tensor '{}'", name)));
  return weight;
}

Result<ops::Vector> TensorLoader::vector(std::string_view name, int64_t size) {
  EXO_TRY(const auto* tensor, find(name));
  if (tensor->elements() != size) return wrong_shape(*tensor, 1, size);
  auto row = ops_.load({.type = tensor->type, .rows = 1, .cols = size, .bytes = tensor->data});
  if (!row) return std::unexpected(std::move(row).error().with_context(fmt::format("tensor '{}'", name)));
  EXO_TRY(auto buffer, ops_.allocate(static_cast<size_t>(size) * sizeof(float)));
  auto* data = reinterpret_cast<float*>(buffer->data());
  const TokenId only_row(0);
  ops_.embed(*row, {&only_row, 1}, {.data = data, .rows = 1, .cols = size, .stride = size});
  buffers_.push_back(std::move(buffer));
  return ops::Vector{data, size};
}

Result<ops::Vector> TensorLoader::optional_vector(std::string_view name, int64_t size) {
  if (!has(name)) return ops::Vector{};
  return vector(name, size);
}

Status TensorLoader::check_all_used() const {
  for (const auto* tensor : expected_) {
    if (!used_.contains(tensor->name)) {
      return fail(ErrorCode::kUnsupported, "the file has a tensor '{}' that this architecture does not use here",
                  tensor->name);
    }
  }
  return {};
}

}  // namespace exo::model
