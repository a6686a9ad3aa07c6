#include "app/stage_ranges.h"

#include "model/load.h"
#include "store/shard_fetcher.h"

namespace exo::app {

Result<store::RangeSet> stage_ranges(const formats::GgufFile& file, const net::FileLayout& layout,
                                     LayerRange layers, const model::TensorShare& share) {
  EXO_TRY(const auto pieces, model::stage_pieces(file, layers, share));
  store::RangeSet ranges;
  for (const auto& piece : pieces) {
    const uint64_t tensor = store::tensor_range(layout, *piece.tensor).begin;
    ranges.add({tensor + piece.begin, tensor + piece.end});
  }
  return share.is_whole() ? ranges : ranges.joined(kFetchedGapBytes);
}

}  // namespace exo::app
