#include "model/tensor_group.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace exo::model {

using ops::Tensor;

void TensorGroup::begin_step(GroupExchange* exchange) {
  exchange_ = exchange;
  status_ = {};
  if (!share_.is_whole() && exchange_ == nullptr) {
    status_ = fail(ErrorCode::kInvalidArgument, "a part of a group's stage has no group");
  }
}

Tensor TensorGroup::gathered(Tensor own, const RowSplit& split, const Tensor& space, const ops::Weight* reader) {
  if (share_.is_whole()) return own;
  const Tensor all{space.data, own.rows, split.size, split.size};
  run(own, split, all, form_for(split, reader), Receivers::kAll);
  const RowPart mine = share_.part(split);
  ops_.copy(own, all.columns(mine.first, mine.count));
  return all;
}

Gathered TensorGroup::gathered_for(const ops::Weight& reader, Tensor own, const RowSplit& split,
                                   const Tensor& space, Half half) {
  if (share_.is_whole() || form_for(split, &reader) == Form::kFloats) {
    return {.x = gathered(own, split, space, &reader), .rows = own.rows};
  }
  Parts& parts = parts_[static_cast<size_t>(half)];
  exchange(own, split, Form::kPacked, Receivers::kAll, parts);
  parts.packed.clear();
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    parts.packed.push_back({parts.bytes[static_cast<size_t>(i)].data(), share_.part_of(i, split).count});
  }
  return {.rows = own.rows, .packed = parts.packed};
}

void TensorGroup::matmul(const Gathered& x, std::span<const ops::Linear> projections) {
  if (!status_) return;
  if (x.packed.empty()) return ops_.matmul(x.x, projections);
  ops_.matmul_packed(x.packed, x.rows, projections);
}

bool TensorGroup::can_norm(const RowSplit& split, const ops::Weight& reader) const {
  if (split.size % ops::Ops::kNormColumns != 0 || form_for(split, &reader) != Form::kPacked) return false;
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    if (share_.part_of(i, split).first % ops::Ops::kNormColumns != 0) return false;
  }
  return true;
}

Gathered TensorGroup::normed_for(const ops::Weight& reader, Tensor x, const RowSplit& split,
                                 const ops::Vector& weight, float epsilon, const Tensor& space, Half half) {
  const RowPart mine = share_.part(split);
  const Tensor own = x.columns(mine.first, mine.count);
  gather_sums(own, split);
  const Tensor out{space.data, x.rows, own.cols, own.cols};
  const ops::Vector own_weight{weight ? weight.data + mine.first : nullptr, weight ? mine.count : 0};
  ops_.rms_norm_columns(own, own_weight, epsilon, sums_.data(), split.size / ops::Ops::kNormColumns, out);
  return gathered_for(reader, out, split, space, half);
}

// Leaves in sums_: [rows, split.size / kNormColumns] what Ops::sum_squares makes of whole rows.
void TensorGroup::gather_sums(Tensor own, const RowSplit& split) {
  Parts& parts = parts_.back();
  make_room(own.rows, split, Form::kSums, Receivers::kAll, parts);
  std::byte* own_sums = parts.bytes[static_cast<size_t>(share_.member())].data();
  ops_.sum_squares(own, reinterpret_cast<float*>(own_sums));
  send(parts, Receivers::kAll);
  const int64_t n_sums = split.size / ops::Ops::kNormColumns;
  sums_.resize(static_cast<size_t>(own.rows * n_sums));
  float* to = sums_.data();
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    const int64_t n = share_.part_of(i, split).count / ops::Ops::kNormColumns;
    const auto* from = reinterpret_cast<const float*>(parts.bytes[static_cast<size_t>(i)].data());
    for (int64_t r = 0; r < own.rows; ++r) std::copy_n(from + r * n, n, to + r * n_sums);
    to += n;
  }
}

void TensorGroup::gather(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, Form::kFloats, Receivers::kAll);
}

void TensorGroup::gather_at_leader(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, Form::kFloats, Receivers::kLeader);
}

size_t TensorGroup::bytes_of(Form form, int64_t rows, int64_t cols) {
  constexpr int64_t kFloat = sizeof(float);
  if (form == Form::kPacked) return static_cast<size_t>(rows * ops::Ops::packed_bytes(cols));
  return static_cast<size_t>(rows * kFloat * (form == Form::kSums ? cols / ops::Ops::kNormColumns : cols));
}

TensorGroup::Form TensorGroup::form_for(const RowSplit& split, const ops::Weight* reader) const {
  const bool packs = reader != nullptr && split.unit % ops::Ops::kPackedColumns == 0 && ops_.reads_packed(*reader);
  return packs ? Form::kPacked : Form::kFloats;
}

void TensorGroup::make_room(int64_t rows, const RowSplit& split, Form form, Receivers receivers, Parts& parts) {
  const auto n_members = static_cast<size_t>(share_.n_members());
  const auto member = static_cast<size_t>(share_.member());
  const bool receives = receivers == Receivers::kAll || share_.is_leader();
  parts.bytes.resize(n_members);
  parts.others.assign(n_members, {});
  for (size_t i = 0; i < n_members; ++i) {
    const int64_t cols = share_.part_of(static_cast<int32_t>(i), split).count;
    if (receives || i == member) parts.bytes[i].resize(bytes_of(form, rows, cols));
    if (receives && i != member) parts.others[i] = parts.bytes[i];
  }
}

// Floats travel as they lie in memory: every host that the device runs on is little-endian.
void TensorGroup::exchange(Tensor own, const RowSplit& split, Form form, Receivers receivers, Parts& parts) {
  make_room(own.rows, split, form, receivers, parts);
  const auto member = static_cast<size_t>(share_.member());
  if (!status_) return;
  if (form == Form::kPacked) {
    ops_.pack(own, parts.bytes[member].data());
  } else {
    ops_.read(own, reinterpret_cast<float*>(parts.bytes[member].data()));
  }
  send(parts, receivers);
}

void TensorGroup::send(Parts& parts, Receivers receivers) {
  if (!status_) return;
  status_ = exchange_->exchange(parts.bytes[static_cast<size_t>(share_.member())], parts.others, receivers);
}

void TensorGroup::run(Tensor own, const RowSplit& split, Tensor all, Form form, Receivers receivers) {
  Parts& parts = parts_.back();
  exchange(own, split, form, receivers, parts);
  if (!status_ || (receivers == Receivers::kLeader && !share_.is_leader())) return;
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    if (i == share_.member()) continue;
    const RowPart theirs = share_.part_of(i, split);
    const Tensor to = all.columns(theirs.first, theirs.count);
    const std::byte* bytes = parts.bytes[static_cast<size_t>(i)].data();
    if (form == Form::kPacked) {
      ops_.unpack(bytes, to);
    } else {
      ops_.write(to, reinterpret_cast<const float*>(bytes));
    }
  }
}

}  // namespace exo::model
