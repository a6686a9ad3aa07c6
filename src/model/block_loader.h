#pragma once
// Pieces of a block's weights, by their names in the file. What the loading of every kind of block is made of.

#include <string>
#include <string_view>

#include "model/hyperparameters.h"
#include "model/tensor_loader.h"
#include "model/tensor_share.h"
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
// These rows (outputs) of a matrix with `cols` inputs, with their bias where the file has one. The rows may be one
// of several projections that the file stores below each other in one tensor.
Result<Projection> load_projection(TensorLoader& loader, const BlockNames& names, std::string_view part,
                                   RowPart rows, int64_t cols);
// The same of a vector that has one number for each row; may be absent.
Result<ops::Vector> load_part(TensorLoader& loader, const std::string& name, RowPart rows);

}  // namespace exo::model
