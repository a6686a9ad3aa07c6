#include "convert/matrix_content.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace exo::convert {
namespace {

class MatrixContent final : public formats::TensorContent {
 public:
  explicit MatrixContent(std::vector<MatrixPtr> matrices) : matrices_(std::move(matrices)) {
    const auto& one = *matrices_[0];
    row_bytes_ = *row_bytes(one.type(), static_cast<uint64_t>(one.cols()));
    matrix_bytes_ = row_bytes_ * static_cast<uint64_t>(one.rows());
    for (const auto& matrix : matrices_) in_place_.push_back(matrix->in_place());
    if (std::ranges::any_of(in_place_, [](const auto& bytes) { return bytes.empty(); })) in_place_.clear();
  }

  Status read(uint64_t offset, std::span<std::byte> out) const override {
    while (!out.empty()) {
      const auto& matrix = *matrices_[offset / matrix_bytes_];
      const uint64_t begin = offset % matrix_bytes_;
      const auto here = out.first(std::min<uint64_t>(out.size(), matrix_bytes_ - begin));
      EXO_CHECK_OK(read_from(matrix, begin, here));
      offset += here.size();
      out = out.subspan(here.size());
    }
    return {};
  }
  std::span<const std::span<const std::byte>> parts() const override { return in_place_; }

 private:
  // Whole rows go straight to `out`; rows that it cuts are read beside it.
  Status read_from(const MatrixSource& matrix, uint64_t begin, std::span<std::byte> out) const {
    std::vector<std::byte> row;
    while (!out.empty()) {
      const auto first = static_cast<int64_t>(begin / row_bytes_);
      const uint64_t skipped = begin % row_bytes_;
      uint64_t done = out.size() / row_bytes_ * row_bytes_;
      if (skipped == 0 && done > 0) {
        EXO_CHECK_OK(matrix.read(first, static_cast<int64_t>(done / row_bytes_), out.first(done)));
      } else {
        row.resize(row_bytes_);
        EXO_CHECK_OK(matrix.read(first, 1, row));
        done = std::min<uint64_t>(row_bytes_ - skipped, out.size());
        std::memcpy(out.data(), row.data() + skipped, done);
      }
      begin += done;
      out = out.subspan(done);
    }
    return {};
  }

  std::vector<MatrixPtr> matrices_;
  std::vector<std::span<const std::byte>> in_place_;  // empty unless all are
  uint64_t row_bytes_ = 0, matrix_bytes_ = 0;
};

}  // namespace

std::shared_ptr<const formats::TensorContent> content_of(std::vector<MatrixPtr> matrices) {
  EXO_CHECK(!matrices.empty());
  return std::make_shared<MatrixContent>(std::move(matrices));
}

}  // namespace exo::convert
