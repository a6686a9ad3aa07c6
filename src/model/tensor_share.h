#pragma once
// One member's part of the tensors of a stage that a group of devices computes together: of every weight some whole
// rows (outputs), never columns. A row's dot product is then what one device would compute, to the last bit.

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace exo::model {

// Some rows of a matrix, or some numbers of a vector.
struct RowPart {
  int64_t first = 0, count = 0, of = 0;

  static RowPart all(int64_t size) { return {0, size, size}; }
  // The same part of something that has `factor` rows for each of these.
  RowPart times(int64_t factor) const { return {first * factor, count * factor, of * factor}; }
};

// What is cut: `size` rows, only at multiples of `unit`, which divides it.
struct RowSplit {
  int64_t size = 0, unit = 1;

  RowSplit times(int64_t factor) const { return {size * factor, unit * factor}; }
};

// `size` rows that belong together in no other way: units are as large as suits the kernels and quantised
// activations, and small enough for uneven shares.
RowSplit split_rows(int64_t size);

struct LayerHyperparameters;
// Query heads stay with the key-value head that they read. One that all query heads read is not cut: every member
// has it.
RowSplit split_heads(const LayerHyperparameters& layer);
class TensorShare {
 public:
  static constexpr uint32_t kWhole = 1 << 16;

  TensorShare() = default;  // one device has it all
  // `shares`: of each member of kWhole, which is their sum. kInvalidArgument for other sums, no members, empty
  // shares, or a member out of range.
  static Result<TensorShare> make(const std::vector<uint32_t>& shares, int32_t member);

  bool is_whole() const { return bounds_.size() == 2; }
  int32_t n_members() const { return static_cast<int32_t>(bounds_.size()) - 1; }
  int32_t member() const { return member_; }
  bool is_leader() const { return member_ == 0; }  // who gets the logits

  RowPart part(const RowSplit& split) const { return part_of(member_, split); }
  RowPart part_of(int32_t member, const RowSplit& split) const;
  RowPart heads(const LayerHyperparameters& layer) const { return part(split_heads(layer)); }
  RowPart kv_heads(const LayerHyperparameters& layer) const;

 private:
  std::vector<uint32_t> bounds_ = {0, kWhole};  // where the members' shares begin, and the end
  int32_t member_ = 0;
};

}  // namespace exo::model
