#pragma once
// What the members of a group tell each other while they compute a stage together (tensor_share.h): each makes its
// columns of an activation, and everybody needs all of them for the next weight. Nothing is added up across
// members, so that the group's numbers are one device's.

#include <cstddef>
#include <span>
#include <vector>

#include "base/result.h"
#include "model/tensor_share.h"
#include "ops/ops.h"

namespace exo::model {

// Between the members' engines, for one step. All members make the same calls with fitting sizes; blocks the
// calling thread. After an error every later call of the step fails.
class GroupExchange {
 public:
  enum class Receivers { kAll, kLeader };

  virtual ~GroupExchange() = default;
  // Sends `own` to the receivers and fills parts[i] with what member i sent, for every i but one's own; only a
  // receiver's parts are filled. `own` and the parts are the caller's again afterwards.
  virtual Status exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> parts,
                          Receivers receivers) = 0;
};

// A stage's end of it. Engine thread only.
class TensorGroup {
 public:
  TensorGroup(ops::Ops& ops, TensorShare share) : ops_(ops), share_(std::move(share)) {}

  const TensorShare& share() const { return share_; }
  // `exchange` is used until the next call; null only where the share is whole.
  void begin_step(GroupExchange* exchange);
  // The step's first error. What is gathered after one is meaningless.
  const Status& status() const { return status_; }

  // own: [rows, one's part of `split`], without gaps → all: [rows, split.size] in `space`. Where the share is whole
  // they are the same, and `own` is returned. `reader`: the only weight whose products read the result, of which
  // others' parts may then come rounded as those products would round them; null: anybody may.
  ops::Tensor gathered(ops::Tensor own, const RowSplit& split, const ops::Tensor& space, const ops::Weight* reader);
  // The same for all: [rows, split.size], in which every member has written its own columns.
  void gather(ops::Tensor all, const RowSplit& split);
  // Only the leader's `all` is filled.
  void gather_at_leader(ops::Tensor all, const RowSplit& split);

 private:
  enum class Form { kFloats, kPacked };
  // As bytes: [rows, columns of one member].
  static size_t bytes_of(Form form, int64_t rows, int64_t cols);
  Form form_for(const RowSplit& split, const ops::Weight* reader) const;
  void run(ops::Tensor own, const RowSplit& split, ops::Tensor all, Form form, GroupExchange::Receivers receivers);

  ops::Ops& ops_;
  TensorShare share_;
  GroupExchange* exchange_ = nullptr;
  Status status_;
  std::vector<std::byte> own_;
  std::vector<std::vector<std::byte>> received_;  // [n_members]
  std::vector<std::span<std::byte>> parts_;
};

}  // namespace exo::model
