#pragma once
// Matrices of small whole numbers, of which every few along a row share a scale and a minimum. How they are packed
// in a folder differs from scheme to scheme; how they become blocks of a number format is here.

#include <memory>
#include <vector>

#include "convert/matrix_source.h"

namespace exo::convert {

// weight = scale * code + minimum
struct GroupScale {
  float scale = 0.0f, minimum = 0.0f;
};

class GroupedMatrix : public MatrixSource {
 public:
  // `type`: Q4_0 (codes less 8; the minimum does not count), Q4_1, A4_BF16 (codes below 16), Q5_1, A5_BF16 (below
  // 32), Q8_0 (less 128), A8_F16, A8_BF16, or F16, in which any groups are possible. cols is a multiple of 32 and,
  // except for F16, of `group_size`, which is one of 32 or all of cols.
  GroupedMatrix(ElementType type, int64_t rows, int64_t cols, int64_t group_size);
  Status read(int64_t first, int64_t count, std::span<std::byte> out) const override;

 protected:
  // codes: [count, cols] of rows from `first`.
  virtual void unpack(int64_t first, int64_t count, uint8_t* codes) const = 0;
  // Of group `group` of a row; what is not finite is noticed later.
  virtual Result<GroupScale> scale_of(int64_t row, int64_t group) const = 0;
  // Which group a column belongs to, when that is not its index by the group size: [cols], every one checked.
  virtual std::span<const int32_t> group_of_column() const { return {}; }
  int64_t n_groups() const { return n_groups_; }
  void set_groups(int64_t n_groups) { n_groups_ = n_groups; }

 private:
  Status read_row(int64_t row, const uint8_t* codes, std::byte* out, std::vector<GroupScale>& scales) const;
  const int64_t group_size_;
  int64_t n_groups_;
};

// Whether blocks of 32 can hold these: kUnsupported names what does not fit.
Status check_groups(std::string_view module, int64_t cols, int64_t group_size);

// Codes of `bits` (at most 8), the first in the lowest bits of the first byte.
void unpack_bits(const std::byte* from, int bits, int64_t count, uint8_t* codes);

}  // namespace exo::convert
