#include "convert/view_builder.h"

#include <algorithm>
#include <array>
#include <utility>

#include "convert/matrix_content.h"
#include "convert/weight_lookup.h"

namespace exo::convert {
namespace {

// What else a module has beside its weight, in the schemes that store it in fewer bits.
constexpr auto kPackedEndings = std::to_array<std::string_view>({"_blocks", "_scales"});
// What a module has beside its weight that is no part of the weight, and has to be asked for by name.
constexpr auto kOwnTensors = std::to_array<std::string_view>({"bias", "e_score_correction_bias"});

Result<MatrixPtr> absent_as_null(Result<MatrixPtr> found) {
  if (!found && found.error().code == ErrorCode::kNotFound) return MatrixPtr();
  return found;
}

}  // namespace

Result<MatrixPtr> ViewBuilder::weight(const std::string& module) {
  auto found = absent_as_null(find_weight(*folder_, module));
  if (found && *found != nullptr) used_.insert(module);
  return found;
}

Result<MatrixPtr> ViewBuilder::tensor(const std::string& name) {
  auto found = absent_as_null(find_tensor(*folder_, name));
  if (found && *found != nullptr) used_.insert(name);
  return found;
}

Status ViewBuilder::add_matrix(const std::string& name, MatrixPtr matrix) {
  const std::vector<int64_t> shape{matrix->cols(), matrix->rows()};
  return add(name, shape, {std::move(matrix)});
}

Status ViewBuilder::add_vector(const std::string& name, MatrixPtr matrix) {
  const std::vector<int64_t> shape{matrix->cols() * matrix->rows()};
  return add(name, shape, {std::move(matrix)});
}

Status ViewBuilder::add_stack(const std::string& name, std::vector<MatrixPtr> parts) {
  for (const auto& part : parts) {
    if (part->type() != parts[0]->type() || part->rows() != parts[0]->rows() || part->cols() != parts[0]->cols()) {
      return fail(ErrorCode::kCorrupt, "the parts of '{}' differ: {} × {} of {} and {} × {} of {}", name,
                  parts[0]->rows(), parts[0]->cols(), info(parts[0]->type()).name, part->rows(), part->cols(),
                  info(part->type()).name);
    }
  }
  const std::vector<int64_t> shape{parts[0]->cols(), parts[0]->rows(), static_cast<int64_t>(parts.size())};
  return add(name, shape, std::move(parts));
}

Status ViewBuilder::add(const std::string& name, std::vector<int64_t> shape, std::vector<MatrixPtr> parts) {
  const auto& first = *parts[0];
  if (!row_bytes(first.type(), static_cast<uint64_t>(shape[0]))) {
    return fail(ErrorCode::kUnsupported, "'{}' has rows of {} numbers, which are no whole blocks of {}", name,
                shape[0], info(first.type()).name);
  }
  if (!names_.insert(name).second) {
    return fail(ErrorCode::kCorrupt, "the folder has '{}' twice, under different names", name);
  }
  writer_.add_tensor(name, first.type(), std::move(shape));
  const auto whole = parts.size() == 1 ? first.in_place() : std::span<const std::byte>();
  if (!whole.empty()) {
    bodies_.push_back({.data = whole});
  } else {
    bodies_.push_back({.content = content_of(std::move(parts))});
  }
  return {};
}

bool ViewBuilder::is_used(std::string_view name) const {
  for (const auto& prefix : left_out_) {
    if (name.starts_with(prefix)) return true;
  }
  for (const auto ending : kPackedEndings) {
    if (name.ends_with(ending) && used_.contains(name.substr(0, name.size() - ending.size()))) return true;
  }
  if (used_.contains(name)) return true;
  const size_t dot = name.rfind('.');
  return dot != std::string_view::npos && used_.contains(name.substr(0, dot)) &&
         std::ranges::find(kOwnTensors, name.substr(dot + 1)) == kOwnTensors.end();
}

Status ViewBuilder::check_all_used() const {
  for (const auto& [name, tensor] : folder_->tensors()) {
    if (!is_used(name)) {
      return fail(ErrorCode::kUnsupported, "the folder has a tensor '{}' that this architecture does not use",
                  name.substr(0, 160));
    }
  }
  return {};
}

Result<formats::GgufFile> ViewBuilder::finish() && {
  return formats::GgufFile::assemble(writer_.header(), std::move(bodies_), std::move(folder_));
}

}  // namespace exo::convert
