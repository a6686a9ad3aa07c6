#pragma once
// What the members of a group tell each other while they compute a stage together (tensor_share.h): each makes its
// columns of an activation, and everybody needs all of them for the next weight. Nothing is added up across
// members, so that the group's numbers are one device's.

#include <array>
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

// An activation that is whole, as the products that read it take it.
struct Gathered {
  ops::Tensor x;  // without data where it is packed
  int64_t rows = 0;
  std::span<const ops::PackedColumns> packed;
};

inline Gathered whole(ops::Tensor x) { return {x, x.rows, {}}; }

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
  // The same for `matmul` with that weight, which may take the result as it travelled: valid until the next one of
  // the same half.
  enum class Half : uint8_t { kAttention, kFeedForward };
  Gathered gathered_for(const ops::Weight& reader, ops::Tensor own, const RowSplit& split, const ops::Tensor& space,
                        Half half);
  void matmul(const Gathered& x, std::span<const ops::Linear> projections);

  // x: [rows, d_model], of which every member has its own columns → its norm for `reader`, by way of `space`.
  // can_norm: whether the bits would be those of the norm of whole rows.
  bool can_norm(const RowSplit& split, const ops::Weight& reader) const;
  Gathered normed_for(const ops::Weight& reader, ops::Tensor x, const RowSplit& split, const ops::Vector& weight,
                      float epsilon, const ops::Tensor& space, Half half);
  // The same for all: [rows, split.size], in which every member has written its own columns.
  void gather(ops::Tensor all, const RowSplit& split);
  // Only the leader's `all` is filled.
  void gather_at_leader(ops::Tensor all, const RowSplit& split);

 private:
  using Receivers = GroupExchange::Receivers;
  enum class Form { kFloats, kPacked, kSums };
  // What travels: of each member [rows, its columns] as bytes.
  struct Parts {
    std::vector<std::vector<std::byte>> bytes;  // [n_members]
    std::vector<std::span<std::byte>> others;   // without bytes at one's own place
    std::vector<ops::PackedColumns> packed;
  };
  // As bytes: [rows, columns of one member].
  static size_t bytes_of(Form form, int64_t rows, int64_t cols);
  void gather_sums(ops::Tensor own, const RowSplit& split);
  Form form_for(const RowSplit& split, const ops::Weight* reader) const;
  void make_room(int64_t rows, const RowSplit& split, Form form, Receivers receivers, Parts& parts);
  // Leaves in `parts` what all members sent, or one's own part where one does not receive.
  void exchange(ops::Tensor own, const RowSplit& split, Form form, Receivers receivers, Parts& parts);
  void send(Parts& parts, Receivers receivers);
  void run(ops::Tensor own, const RowSplit& split, ops::Tensor all, Form form, Receivers receivers);

  ops::Ops& ops_;
  TensorShare share_;
  GroupExchange* exchange_ = nullptr;
  Status status_;
  std::vector<float> sums_;
  std::array<Parts, 3> parts_;  // of each half, and of what is taken out at once
};

}  // namespace exo::model
