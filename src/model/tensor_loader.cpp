#include "model/tensor_loader.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "formats/mapped_file.h"

namespace exo::model {
namespace {

using formats::TensorView;

constexpr uint64_t kPrefetchBytes = 512ull << 20;  // how far the disk may run ahead of the loading
constexpr size_t kReadBytes = 32 << 20;            // between two calls of the progress function
constexpr size_t kMapBytes = 4 << 20;              // that one thread reads in at a time
constexpr int kMostReaders = 4;

std::unexpected<Error> wrong_shape(const TensorView& tensor, int64_t rows, int64_t cols) {
  return fail(ErrorCode::kCorrupt, "tensor '{}' has shape [{}], expected [{}, {}]", tensor.name,
              fmt::join(tensor.shape.begin(), tensor.shape.begin() + std::max(tensor.n_dimensions, 1), ", "), cols,
              rows);
}

// Operations read numbers in place: a file with an odd alignment would make them read across.
bool is_aligned(const TensorView& tensor) {
  const uintptr_t needed = tensor.type == ElementType::kF32 ? 4 : 2;
  const auto fits = [&](std::span<const std::byte> bytes) {
    return reinterpret_cast<uintptr_t>(bytes.data()) % needed == 0;
  };
  return tensor.content == nullptr ? fits(tensor.data) : std::ranges::all_of(tensor.content->parts(), fits);
}

}  // namespace

Result<HostBytes> HostBytes::allocate(uint64_t size) {
  HostBytes out;
  out.data_.reset(new (std::align_val_t{kAlignment}, std::nothrow) std::byte[size]);
  if (out.data_ == nullptr) return fail(ErrorCode::kResourceExhausted, "no memory for {} bytes", size);
  out.size_ = size;
  return out;
}

TensorLoader::TensorLoader(const formats::GgufFile& file, std::span<const TensorView* const> expected,
                           uint64_t total_bytes, ops::Ops& ops, const LoadProgress& progress, Reads reads)
    : file_(file), expected_(expected), ops_(&ops), progress_(progress), reads_(reads), total_bytes_(total_bytes) {}

TensorLoader::TensorLoader(const formats::GgufFile& file, std::span<const TensorView* const> expected)
    : file_(file), expected_(expected), ops_(nullptr), reads_(Reads::kNothing) {}

Result<const TensorView*> TensorLoader::find(std::string_view name) {
  const auto* tensor = file_.find_tensor(name);
  if (tensor == nullptr) return fail(ErrorCode::kNotFound, "the file has no tensor '{}'", name);
  if (!is_aligned(*tensor)) return fail(ErrorCode::kUnsupported, "tensor '{}' is not aligned in its file", name);
  const bool is_first = used_.emplace(name).second;
  if (is_first && !only_lists()) EXO_CHECK_OK(read_in(*tensor));
  return tensor;
}

Status TensorLoader::read_in(const TensorView& tensor) {
  if (reads_ == Reads::kRows) return {};  // see rows_of
  const bool lies_in_file = tensor.content == nullptr || !tensor.content->parts().empty();
  if (reads_ == Reads::kNothing && lies_in_file) return add_progress(tensor.bytes());
  for (uint64_t ahead = 0; prefetched_ < expected_.size() && ahead < kPrefetchBytes; ++prefetched_) {
    formats::prefetch(expected_[prefetched_]->data);
    ahead += expected_[prefetched_]->bytes();
    if (expected_[prefetched_] == &tensor) break;
  }
  if (tensor.content == nullptr) return fault_in(tensor.data);
  if (const auto parts = tensor.content->parts(); !parts.empty()) {
    for (const auto& part : parts) EXO_CHECK_OK(fault_in(part));
    return {};
  }
  EXO_TRY(auto memory, make(tensor, 0, tensor.bytes()));
  made_.insert_or_assign(tensor.name, std::move(memory));
  return {};
}

Status TensorLoader::fault_in(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto piece = bytes.first(std::min(bytes.size(), kReadBytes));
    fault_in_together(piece);
    bytes = bytes.subspan(piece.size());
    EXO_CHECK_OK(add_progress(piece.size()));
  }
  return {};
}

// Mapping what the system has in its cache already takes one thread as long as reading it.
void TensorLoader::fault_in_together(std::span<const std::byte> bytes) {
  if (!readers_) readers_ = std::make_unique<ThreadPool>(std::min(kMostReaders, ThreadPool::physical_cores()));
  const auto n_pieces = static_cast<int64_t>((bytes.size() + kMapBytes - 1) / kMapBytes);
  readers_->parallel_for(n_pieces, 1, [&](int64_t begin, int64_t end, int) {
    const auto at = static_cast<size_t>(begin) * kMapBytes;
    formats::fault_in(bytes.subspan(at, std::min(static_cast<size_t>(end - begin) * kMapBytes, bytes.size() - at)));
  });
}

Result<HostBytes> TensorLoader::make(const TensorView& tensor, uint64_t begin, uint64_t size) {
  auto memory = HostBytes::allocate(size);
  if (!memory) return std::unexpected(std::move(memory).error().with_context("tensor '" + tensor.name + "'"));
  // Whole rows at a time, so that a conversion never cuts a block.
  const uint64_t row = tensor.bytes() / static_cast<uint64_t>(tensor.rows());
  const uint64_t most = std::max<uint64_t>(1, kReadBytes / row) * row;
  const auto all = memory->bytes();
  for (uint64_t done = 0; done < all.size();) {
    const auto piece = all.subspan(done, std::min<uint64_t>(most, all.size() - done));
    if (auto read = tensor.content->read(begin + done, piece); !read) {
      return std::unexpected(std::move(read).error().with_context("tensor '" + tensor.name + "'"));
    }
    done += piece.size();
    EXO_CHECK_OK(add_progress(piece.size()));
  }
  return memory;
}

Status TensorLoader::add_progress(uint64_t bytes) {
  done_bytes_ = std::min(done_bytes_ + bytes, total_bytes_);  // rows may be asked for twice
  if (progress_ && !progress_(done_bytes_, total_bytes_)) {
    return fail(ErrorCode::kCancelled, "loading was cancelled");
  }
  return {};
}

Result<ops::Weight> TensorLoader::load(const TensorView& tensor, ops::WeightSource source) {
  if (only_lists()) return ops::Weight{};
  auto weight = ops_->load(source);
  if (!weight) return std::unexpected(std::move(weight).error().with_context("tensor '" + tensor.name + "'"));
  return weight;
}

// The bytes of matrices that lie apart; empty: they follow each other.
std::span<const std::span<const std::byte>> TensorLoader::apart(const TensorView& tensor) const {
  if (tensor.content == nullptr || only_lists()) return {};
  return tensor.content->parts();
}

Result<std::span<const std::byte>> TensorLoader::rows_of(const TensorView& tensor, uint64_t begin, uint64_t size) {
  if (only_lists()) {
    pieces_.push_back({&tensor, begin, begin + size});
    return std::span<const std::byte>();
  }
  if (tensor.content == nullptr) return brought_in(tensor.data.subspan(begin, size));
  auto made = made_.find(tensor.name);
  if (made == made_.end()) {
    EXO_TRY(auto memory, make(tensor, begin, size));
    if (size < tensor.bytes()) return rearranged_.emplace_back(std::move(memory)).bytes();
    made = made_.insert_or_assign(tensor.name, std::move(memory)).first;
  }
  return made->second.bytes().subspan(begin, size);
}

Result<std::span<const std::byte>> TensorLoader::brought_in(std::span<const std::byte> rows) {
  if (reads_ != Reads::kRows) return rows;  // see read_in
  formats::prefetch(rows);
  EXO_CHECK_OK(fault_in(rows));
  return rows;
}

Result<ops::Weight> TensorLoader::matrix(std::string_view name, int64_t rows, int64_t cols) {
  return matrix_rows(name, rows, cols, 0, rows);
}

Result<ops::Weight> TensorLoader::matrix_rows(std::string_view name, int64_t rows, int64_t cols, int64_t first,
                                              int64_t count) {
  EXO_TRY(const auto* tensor, find(name));
  if (tensor->shape[0] != cols || tensor->rows() != rows) return wrong_shape(*tensor, rows, cols);
  const auto row = tensor->bytes() / static_cast<size_t>(rows);
  ops::WeightSource source{.type = tensor->type, .rows = count, .cols = cols};
  EXO_TRY(source.bytes, rows_of(*tensor, static_cast<size_t>(first) * row, static_cast<size_t>(count) * row));
  return load(*tensor, source);
}

Result<ops::Weight> TensorLoader::matrices(std::string_view name, int64_t n_matrices, int64_t rows, int64_t cols) {
  EXO_TRY(const auto* tensor, find(name));
  if (tensor->shape[0] != cols || tensor->shape[1] != rows || tensor->shape[2] * tensor->shape[3] != n_matrices) {
    return wrong_shape(*tensor, rows * n_matrices, cols);
  }
  ops::WeightSource source{.type = tensor->type, .rows = rows, .cols = cols, .n_matrices = n_matrices};
  source.parts = apart(*tensor);
  for (const auto& part : source.parts) {
    EXO_TRY([[maybe_unused]] const auto whole, brought_in(part));
  }
  if (source.parts.empty()) {
    EXO_TRY(source.bytes, rows_of(*tensor, 0, tensor->bytes()));
  }
  return load(*tensor, source);
}

Result<ops::Weight> TensorLoader::matrices_of(std::string_view name, RowPart which, int64_t rows, int64_t cols) {
  if (which.count == which.of) return matrices(name, which.of, rows, cols);
  const auto* tensor = file_.find_tensor(name);
  if (tensor != nullptr && tensor->shape[1] != rows) return wrong_shape(*tensor, rows * which.of, cols);
  return interleaved_matrices(
      name, {.n_matrices = which.of, .period = rows, .first = 0, .count = rows, .matrices = which}, cols);
}

Result<ops::Weight> TensorLoader::matrices_rows(std::string_view name, int64_t n_matrices, RowPart rows,
                                                int64_t cols) {
  if (rows.count == rows.of) return matrices(name, n_matrices, rows.of, cols);
  const auto* tensor = file_.find_tensor(name);
  if (tensor != nullptr && tensor->shape[1] != rows.of) return wrong_shape(*tensor, rows.of * n_matrices, cols);
  return interleaved_matrices(
      name, {.n_matrices = n_matrices, .period = rows.of, .first = rows.first, .count = rows.count}, cols);
}

Result<ops::Weight> TensorLoader::interleaved_matrices(std::string_view name, const Interleaved& rows,
                                                       int64_t cols) {
  EXO_TRY(const auto* tensor, find(name));
  const int64_t all = rows.n_matrices * rows.period;
  if (tensor->shape[0] != cols || tensor->rows() != all) return wrong_shape(*tensor, all, cols);
  const RowPart chosen = rows.chosen();
  const auto row = static_cast<size_t>(tensor->bytes()) / static_cast<size_t>(all);
  const auto wholes = apart(*tensor);
  if (!wholes.empty() && wholes.size() != static_cast<size_t>(rows.n_matrices))
    return wrong_shape(*tensor, all, cols);
  auto& parts = parts_.emplace_back();
  for (int64_t i = chosen.first; i < chosen.first + chosen.count; ++i) {
    const auto index = static_cast<size_t>(i), period = static_cast<size_t>(rows.period) * row;
    const size_t first = static_cast<size_t>(rows.first) * row, size = static_cast<size_t>(rows.count) * row;
    EXO_TRY(const auto part, wholes.empty() ? rows_of(*tensor, index * period + first, size)
                                            : brought_in(wholes[index].subspan(first, size)));
    parts.push_back(part);
  }
  return load(*tensor, {.type = tensor->type,
                        .rows = rows.count,
                        .cols = cols,
                        .n_matrices = chosen.count,
                        .bytes = {},
                        .parts = parts});
}

namespace {

template <typename T>
void transpose(const std::byte* from, int64_t rows, int64_t cols, std::byte* to) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < cols; ++c) {
      std::memcpy(to + static_cast<size_t>(c * rows + r) * sizeof(T),
                  from + static_cast<size_t>(r * cols + c) * sizeof(T), sizeof(T));
    }
  }
}

bool is_float(ElementType type) {
  return type == ElementType::kF32 || type == ElementType::kF16 || type == ElementType::kBF16;
}

}  // namespace

Result<ops::Weight> TensorLoader::transposed_matrices(std::string_view name, const Interleaved& rows,
                                                      int64_t cols) {
  EXO_TRY(const auto source, interleaved_matrices(name, rows, cols));
  if (only_lists()) return source;
  const auto* tensor = file_.find_tensor(name);
  const bool quantized = !is_float(tensor->type);
  const ElementType type = quantized ? ElementType::kF32 : tensor->type;
  const auto elements = static_cast<uint64_t>(rows.count * cols);
  const uint64_t matrix_bytes = *row_bytes(type, elements);
  const int64_t n_matrices = rows.chosen().count;
  EXO_TRY(auto memory, HostBytes::allocate(matrix_bytes * static_cast<uint64_t>(n_matrices)));
  std::unique_ptr<ops::Buffer> widened;
  std::vector<float> floats;
  std::vector<TokenId> all_rows;
  if (quantized) {
    EXO_TRY(widened, ops_->allocate(elements * sizeof(float)));
    floats.resize(elements);
    for (int64_t r = 0; r < rows.count; ++r) all_rows.emplace_back(static_cast<int32_t>(r));
  }
  for (int64_t i = 0; i < n_matrices; ++i) {
    const auto part = source.parts[static_cast<size_t>(i)];
    std::byte* to = memory.bytes().data() + static_cast<uint64_t>(i) * matrix_bytes;
    if (!quantized) {
      const auto place = type == ElementType::kF32 ? transpose<float> : transpose<uint16_t>;
      place(part.data(), rows.count, cols, to);
      continue;
    }
    EXO_TRY(const auto matrix,
            load(*tensor, {.type = tensor->type, .rows = rows.count, .cols = cols, .bytes = part}));
    const ops::Tensor wide{reinterpret_cast<float*>(widened->data()), rows.count, cols, cols};
    ops_->embed(matrix, all_rows, wide);
    ops_->read(wide, floats.data());
    transpose<float>(reinterpret_cast<const std::byte*>(floats.data()), rows.count, cols, to);
  }
  const auto bytes = memory.bytes();
  rearranged_.push_back(std::move(memory));
  return load(*tensor, {.type = type, .rows = cols, .cols = rows.count, .n_matrices = n_matrices, .bytes = bytes});
}

Result<ops::Weight> TensorLoader::gathered_rows(std::string_view name, std::span<const Interleaved> parts,
                                                int64_t cols) {
  int64_t rows = 0;
  for (const auto& part : parts) rows += part.n_matrices * part.count;
  const auto* tensor = file_.find_tensor(name);
  const auto row = tensor == nullptr ? std::nullopt : row_bytes(tensor->type, static_cast<uint64_t>(cols));
  EXO_TRY(auto memory, HostBytes::allocate(only_lists() ? 0 : row.value_or(0) * static_cast<uint64_t>(rows)));
  const auto bytes = memory.bytes();
  std::byte* to = bytes.data();
  for (const auto& part : parts) {
    EXO_TRY(const auto source, interleaved_matrices(name, part, cols));
    if (only_lists()) continue;
    for (const auto& piece : source.parts) to = std::ranges::copy(piece, to).out;
  }
  if (only_lists()) return ops::Weight{};
  rearranged_.push_back(std::move(memory));
  return load(*tensor, {.type = tensor->type, .rows = rows, .cols = cols, .bytes = bytes});
}

Result<ops::Vector> TensorLoader::transposed_vector(std::string_view name, int64_t rows, int64_t cols) {
  EXO_TRY(const auto vector, this->vector(name, rows * cols));
  if (only_lists()) return vector;
  const auto count = static_cast<size_t>(rows * cols);
  std::vector<float> plain(count), transposed(count);
  const ops::Tensor all{reinterpret_cast<float*>(buffers_.back()->data()), 1, rows * cols, rows * cols};
  ops_->read(all, plain.data());
  transpose<float>(reinterpret_cast<const std::byte*>(plain.data()), rows, cols,
                   reinterpret_cast<std::byte*>(transposed.data()));
  ops_->write(all, transposed.data());
  return vector;
}

Result<ops::Vector> TensorLoader::vector(std::string_view name, int64_t size) {
  EXO_TRY(const auto* tensor, find(name));
  if (tensor->elements() != size) return wrong_shape(*tensor, 1, size);
  EXO_TRY(const auto bytes, rows_of(*tensor, 0, tensor->bytes()));
  if (only_lists()) return ops::Vector{.data = nullptr, .size = size};
  EXO_TRY(const auto row, load(*tensor, {.type = tensor->type, .rows = 1, .cols = size, .bytes = bytes}));
  EXO_TRY(auto buffer, ops_->allocate(static_cast<size_t>(size) * sizeof(float)));
  auto* data = reinterpret_cast<float*>(buffer->data());
  const TokenId only_row(0);
  ops_->embed(row, {&only_row, 1}, {.data = data, .rows = 1, .cols = size, .stride = size});
  buffers_.push_back(std::move(buffer));
  return ops::Vector{data, size};
}

Result<ops::Vector> TensorLoader::optional_vector(std::string_view name, int64_t size) {
  if (!has(name)) return ops::Vector{};
  return vector(name, size);
}

Result<ops::Vector> TensorLoader::optional_interleaved_vector(std::string_view name, const Interleaved& rows) {
  EXO_TRY(const auto all, optional_vector(name, rows.n_matrices * rows.period));
  if (!all || rows.count == rows.period) return all;
  EXO_TRY(auto buffer, ops_->allocate(static_cast<size_t>(rows.n_matrices * rows.count) * sizeof(float)));
  auto* data = reinterpret_cast<float*>(buffer->data());
  const ops::Tensor from{const_cast<float*>(all.data), rows.n_matrices, rows.period, rows.period};
  ops_->copy(from.columns(rows.first, rows.count), {data, rows.n_matrices, rows.count, rows.count});
  buffers_.push_back(std::move(buffer));
  return ops::Vector{data, rows.n_matrices * rows.count};
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

LoadedMemory TensorLoader::take_memory() {
  LoadedMemory memory{std::move(buffers_), std::move(rearranged_), std::move(parts_)};
  for (auto& [name, bytes] : made_) memory.made.push_back(std::move(bytes));
  made_.clear();
  return memory;
}

}  // namespace exo::model
