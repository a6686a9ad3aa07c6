#pragma once
// Pieces of a block's weights, by their names in the file. What the loading of every kind of block is made of.

#include <string>
#include <string_view>

#include "model/hyperparameters.h"
#include "model/tensor_loader.h"
#include "model/weights.h"

namespace exo::model {

// Names within one block: "blk.7." + "attn_q" + ".weight".
class BlockNames {
 public:
  explicit BlockNames(int32_t block) : prefix_(fmt::format("blk.{}.", block)) {}
  std::string weight(std::string_view part) const { return fmt::format("{}{}.weight", prefix_, part); }
  std::string bare(std::string_view part) const { return fmt::format("{}{}", prefix_, part); }
  std::string bias(std::string_view part) const { return fmt::format("{}{}.bias", prefix_, part); }

 private:
  std::string prefix_;
};

// `bias` is looked for by layer norms only and may be absent.
Result<Norm> load_norm(TensorLoader& loader, NormKind kind, const std::string& weight, const std::string& bias,
                       int64_t size);
// The norm before or after a half of a block: absent where `part` is empty, or where halves share one.
Result<Norm> load_block_norm(TensorLoader& loader, const BlockNames& names, const Hyperparameters& model,
                             std::string_view part);
// `rows` outputs by `cols` inputs, with a bias where the file has one.
Result<Projection> load_projection(TensorLoader& loader, const BlockNames& names, std::string_view part,
                                   int64_t rows, int64_t cols);

// One of several projections that the file stores below each other in one tensor.
struct FusedPart {
  int64_t first = 0, count = 0, of = 0;
};
Result<Projection> load_fused(TensorLoader& loader, const BlockNames& names, std::string_view part, FusedPart rows,
                              int64_t cols);

}  // namespace exo::model
