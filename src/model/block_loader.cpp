#include "model/block_loader.h"

namespace exo::model {

Result<Norm> load_norm(TensorLoader& loader, NormKind kind, const std::string& weight, const std::string& bias,
                       int64_t size) {
  Norm norm{.present = true, .kind = kind};
  EXO_TRY(norm.weight, loader.vector(weight, size));
  if (kind == NormKind::kLayer) {
    EXO_TRY(norm.bias, loader.optional_vector(bias, size));
  }
  return norm;
}

Result<Norm> load_block_norm(TensorLoader& loader, const BlockNames& names, const Hyperparameters& model,
                             std::string_view part) {
  const auto& architecture = *model.architecture;
  if (part.empty()) return Norm{};
  if (!architecture.norms_have_weights) return Norm{.present = true, .kind = architecture.norm};
  if (model.residual == Residual::kParallel && !loader.has(names.weight(part))) return Norm{};  // shared
  return load_norm(loader, architecture.norm, names.weight(part), names.bias(part), model.d_model);
}

Result<Projection> load_projection(TensorLoader& loader, const BlockNames& names, std::string_view part,
                                   RowPart rows, int64_t cols) {
  Projection projection;
  EXO_TRY(projection.weight, loader.matrix_rows(names.weight(part), rows.of, cols, rows.first, rows.count));
  EXO_TRY(projection.bias, load_part(loader, names.bias(part), rows));
  return projection;
}

Result<ops::Vector> load_part(TensorLoader& loader, const std::string& name, RowPart rows) {
  EXO_TRY(const auto all, loader.optional_vector(name, rows.of));
  if (!all) return ops::Vector{};
  return ops::Vector{all.data + rows.first, rows.count};
}

}  // namespace exo::model
