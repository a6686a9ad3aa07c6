#include "model/tensor_share.h"

#include "model/hyperparameters.h"

namespace exo::model {

RowSplit split_rows(int64_t size) {
  constexpr int64_t kFewestUnits = 16;
  for (const int64_t unit : {256, 32, 8}) {
    if (size % unit == 0 && size / unit >= kFewestUnits) return {size, unit};
  }
  return {size, 1};
}

RowSplit split_heads(const LayerHyperparameters& layer) {
  return {layer.n_heads, layer.n_kv_heads > 1 ? layer.n_heads / layer.n_kv_heads : 1};
}

Result<TensorShare> TensorShare::make(const std::vector<uint32_t>& shares, int32_t member) {
  if (member < 0 || static_cast<size_t>(member) >= shares.size()) {
    return fail(ErrorCode::kInvalidArgument, "member {} of a group of {}", member, shares.size());
  }
  TensorShare out;
  out.member_ = member;
  out.bounds_ = {0};
  for (const uint32_t share : shares) {
    if (share == 0 || share > kWhole - out.bounds_.back()) {
      return fail(ErrorCode::kInvalidArgument, "a share of {} after {} of {}", share, out.bounds_.back(), kWhole);
    }
    out.bounds_.push_back(out.bounds_.back() + share);
  }
  if (out.bounds_.back() != kWhole) {
    return fail(ErrorCode::kInvalidArgument, "shares of {} in all, not {}", out.bounds_.back(), kWhole);
  }
  return out;
}

RowPart TensorShare::kv_heads(const LayerHyperparameters& layer) const {
  if (layer.n_kv_heads <= 1) return RowPart::all(layer.n_kv_heads);
  return part({layer.n_kv_heads, 1});
}

RowPart TensorShare::part_of(int32_t member, const RowSplit& split) const {
  const int64_t units = split.size / split.unit;
  const auto cut = [&](int32_t i) {
    return (units * bounds_[static_cast<size_t>(i)] + kWhole / 2) / kWhole * split.unit;
  };
  const int64_t first = cut(member);
  return {first, cut(member + 1) - first, split.size};
}

}  // namespace exo::model
