#include "convert/matrix_views.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <list>

#include "convert/matrix_content.h"
#include "convert/plain_matrix.h"

namespace exo::convert {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;

// 0, 1, 2, … in rows of `cols`, in memory that outlives the matrix.
class MatrixViews : public testing::Test {
 protected:
  MatrixPtr counting(int64_t rows, int64_t cols, size_t misaligned = 0) {
    auto& bytes = buffers_.emplace_back(static_cast<size_t>(rows * cols) * sizeof(float) + misaligned);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const auto number = static_cast<float>(i);
      std::memcpy(bytes.data() + misaligned + static_cast<size_t>(i) * sizeof number, &number, sizeof number);
    }
    auto& tensor = tensors_.emplace_back();
    tensor = {.name = "t", .shape = {rows, cols}, .data = std::span(bytes).subspan(misaligned)};
    return *plain_matrix(tensor);
  }
  static std::vector<float> read(const MatrixSource& matrix, int64_t first, int64_t count) {
    std::vector<float> out(static_cast<size_t>(count * matrix.cols()));
    EXPECT_TRUE(matrix.read(first, count, std::as_writable_bytes(std::span(out))));
    return out;
  }
  // The whole, and that row by row gives the same.
  static std::vector<float> all(const MatrixPtr& matrix) {
    const auto whole = read(*matrix, 0, matrix->rows());
    std::vector<float> rows;
    for (int64_t i = 0; i < matrix->rows(); ++i) {
      const auto row = read(*matrix, i, 1);
      rows.insert(rows.end(), row.begin(), row.end());
    }
    EXPECT_EQ(rows, whole);
    return whole;
  }

  std::list<std::vector<std::byte>> buffers_;
  std::list<formats::SafetensorsTensor> tensors_;
};

TEST_F(MatrixViews, RowsInRanges) {
  const auto base = counting(6, 2);
  const auto picked = *select_rows(base, {{4, 2}, {0, 2, 3}});
  EXPECT_THAT(all(picked), ElementsAre(8, 9, 10, 11, 0, 1, 6, 7));
  EXPECT_TRUE(picked->in_place().empty());
  const auto slice = *select_rows(base, {{2, 3}});
  EXPECT_EQ(slice->in_place().data(), base->in_place().data() + 2 * 2 * sizeof(float));
  EXPECT_EQ(slice->in_place().size(), 3 * 2 * sizeof(float));
  EXPECT_FALSE(select_rows(base, {{5, 2}}));
  EXPECT_FALSE(select_rows(base, {{0, 3, 3}}));
  EXPECT_FALSE(select_rows(base, {{-1, 1}}));
  EXPECT_FALSE(select_rows(base, {{0, 0}}));
  EXPECT_FALSE(select_rows(base, {{INT64_MAX, INT64_MAX}}));
}

TEST_F(MatrixViews, ColumnsInRanges) {
  const auto base = counting(2, 4);
  EXPECT_THAT(all(*select_columns(base, {{1, 2, 2}, {0, 1}})), ElementsAre(1, 3, 0, 5, 7, 4));
  EXPECT_FALSE(select_columns(base, {{3, 2}}));
}

TEST_F(MatrixViews, Transposed) {
  EXPECT_THAT(all(*transpose(counting(2, 3))), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(all(*transpose(counting(4, 2), 2)), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_THAT(all(*transpose(counting(4, 2, 1), 2)), ElementsAre(0, 2, 1, 3, 4, 6, 5, 7));
  EXPECT_FALSE(transpose(counting(3, 2), 2));
}

TEST_F(MatrixViews, StackedAndReshaped) {
  EXPECT_THAT(all(*stack_rows({counting(1, 2), counting(2, 2)})), ElementsAre(0, 1, 0, 1, 2, 3));
  EXPECT_FALSE(stack_rows({counting(1, 2), counting(1, 3)}));
  const auto reshaped = *reshape(*select_columns(counting(3, 3), {{0, 2}}), 2, 3);  // not in place
  EXPECT_THAT(all(reshaped), ElementsAre(0, 1, 3, 4, 6, 7));
  EXPECT_FALSE(reshape(counting(2, 3), 4, 2));
}

TEST_F(MatrixViews, NumbersThroughAFunction) {
  const auto mapped = *map_numbers(counting(2, 2), [](float x) { return 2.0f * x + 1.0f; });
  EXPECT_THAT(all(mapped), ElementsAre(1, 3, 5, 7));
  EXPECT_THAT(all(make_vector({4, 5})), ElementsAre(4, 5));
}

TEST_F(MatrixViews, OddPlacesAreCopied) {
  const auto odd = counting(2, 2, 1);
  EXPECT_TRUE(odd->in_place().empty());
  EXPECT_THAT(all(odd), ElementsAre(0, 1, 2, 3));
}

TEST_F(MatrixViews, ContentsAreReadAtAnyByte) {
  const auto content = content_of({counting(2, 3), *select_rows(counting(4, 3), {{0, 2, 2}})});
  EXPECT_TRUE(content->parts().empty());
  const std::vector<float> expected = {0, 1, 2, 3, 4, 5, 0, 1, 2, 6, 7, 8};
  const auto bytes = std::as_bytes(std::span(expected));
  for (size_t begin = 0; begin < bytes.size(); ++begin) {
    for (size_t size = 0; begin + size <= bytes.size(); size += 5) {
      std::vector<std::byte> out(size);
      ASSERT_TRUE(content->read(begin, out));
      ASSERT_THAT(out, ElementsAreArray(bytes.subspan(begin, size))) << begin << " " << size;
    }
  }
  const auto a = counting(1, 2), b = counting(1, 2);
  const auto parts = content_of({a, b});
  ASSERT_EQ(parts->parts().size(), 2u);
  EXPECT_EQ(parts->parts()[1].data(), b->in_place().data());
}

}  // namespace
}  // namespace exo::convert
