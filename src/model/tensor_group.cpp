#include "model/tensor_group.h"

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
  run(own, split, all, form_for(split, reader), GroupExchange::Receivers::kAll);
  const RowPart mine = share_.part(split);
  ops_.copy(own, all.columns(mine.first, mine.count));
  return all;
}

void TensorGroup::gather(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, Form::kFloats, GroupExchange::Receivers::kAll);
}

void TensorGroup::gather_at_leader(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, Form::kFloats, GroupExchange::Receivers::kLeader);
}

size_t TensorGroup::bytes_of(Form form, int64_t rows, int64_t cols) {
  const int64_t row = form == Form::kPacked ? ops::Ops::packed_bytes(cols) : cols * int64_t{sizeof(float)};
  return static_cast<size_t>(rows * row);
}

TensorGroup::Form TensorGroup::form_for(const RowSplit& split, const ops::Weight* reader) const {
  const bool packs = reader != nullptr && split.unit % ops::Ops::kPackedColumns == 0 && ops_.reads_packed(*reader);
  return packs ? Form::kPacked : Form::kFloats;
}

// Floats travel as they lie in memory: every host that the device runs on is little-endian.
void TensorGroup::run(Tensor own, const RowSplit& split, Tensor all, Form form,
                      GroupExchange::Receivers receivers) {
  if (!status_) return;
  const bool receives = receivers == GroupExchange::Receivers::kAll || share_.is_leader();
  own_.resize(bytes_of(form, own.rows, own.cols));
  if (form == Form::kPacked) {
    ops_.pack(own, own_.data());
  } else {
    ops_.read(own, reinterpret_cast<float*>(own_.data()));
  }
  received_.resize(static_cast<size_t>(share_.n_members()));
  parts_.resize(received_.size());
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    auto& bytes = received_[static_cast<size_t>(i)];
    const bool wanted = receives && i != share_.member();
    bytes.resize(wanted ? bytes_of(form, all.rows, share_.part_of(i, split).count) : 0);
    parts_[static_cast<size_t>(i)] = bytes;
  }
  status_ = exchange_->exchange(own_, parts_, receivers);
  if (!status_ || !receives) return;
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    if (i == share_.member()) continue;
    const RowPart theirs = share_.part_of(i, split);
    const Tensor to = all.columns(theirs.first, theirs.count);
    const auto& bytes = received_[static_cast<size_t>(i)];
    if (form == Form::kPacked) {
      ops_.unpack(bytes.data(), to);
    } else {
      ops_.write(to, reinterpret_cast<const float*>(bytes.data()));
    }
  }
}

}  // namespace exo::model
