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

Tensor TensorGroup::gathered(Tensor own, const RowSplit& split, const Tensor& space) {
  if (share_.is_whole()) return own;
  const Tensor all{space.data, own.rows, split.size, split.size};
  run(own, split, all, GroupExchange::Receivers::kAll);
  const RowPart mine = share_.part(split);
  ops_.copy(own, all.columns(mine.first, mine.count));
  return all;
}

void TensorGroup::gather(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, GroupExchange::Receivers::kAll);
}

void TensorGroup::gather_at_leader(Tensor all, const RowSplit& split) {
  if (share_.is_whole()) return;
  const RowPart mine = share_.part(split);
  run(all.columns(mine.first, mine.count), split, all, GroupExchange::Receivers::kLeader);
}

void TensorGroup::run(Tensor own, const RowSplit& split, Tensor all, GroupExchange::Receivers receivers) {
  if (!status_) return;
  const bool receives = receivers == GroupExchange::Receivers::kAll || share_.is_leader();
  own_.resize(static_cast<size_t>(own.rows * own.cols));
  ops_.read(own, own_.data());
  received_.resize(static_cast<size_t>(share_.n_members()));
  parts_.resize(received_.size());
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    auto& floats = received_[static_cast<size_t>(i)];
    const bool wanted = receives && i != share_.member();
    floats.resize(wanted ? static_cast<size_t>(all.rows * share_.part_of(i, split).count) : 0);
    parts_[static_cast<size_t>(i)] = std::as_writable_bytes(std::span(floats));
  }
  status_ = exchange_->exchange(std::as_bytes(std::span(own_)), parts_, receivers);
  if (!status_ || !receives) return;
  for (int32_t i = 0; i < share_.n_members(); ++i) {
    if (i == share_.member()) continue;
    const RowPart theirs = share_.part_of(i, split);
    ops_.write(all.columns(theirs.first, theirs.count), received_[static_cast<size_t>(i)].data());
  }
}

}  // namespace exo::model
