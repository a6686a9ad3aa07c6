#include "convert/weight_lookup.h"

#include <string>

#include "convert/plain_matrix.h"
#include "convert/quantised/quantised_weights.h"

namespace exo::convert {

Result<MatrixPtr> find_tensor(const ModelFolder& folder, std::string_view name) {
  const auto* tensor = folder.find(name);
  if (tensor == nullptr) return fail(ErrorCode::kNotFound, "the folder has no tensor '{}'", name);
  return plain_matrix(*tensor);
}

Result<MatrixPtr> find_weight(const ModelFolder& folder, std::string_view module) {
  // FP8 and packed weights have their ".weight" too: whoever knows the scheme looks first.
  auto quantised = find_quantised_weight(folder, module);
  if (quantised || quantised.error().code != ErrorCode::kNotFound) return quantised;
  return find_tensor(folder, std::string(module) + ".weight");
}

}  // namespace exo::convert
