#pragma once
// Which bytes of a model's files a device fetches for a stage.

#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "model/tensor_share.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"

namespace exo::app {

// Gaps up to this size are fetched along: asking once more takes longer.
inline constexpr uint64_t kFetchedGapBytes = 32 << 10;

// For store::FetchRequest::choose: of a share its rows, of a whole stage all (model::stage_pieces, whose errors
// these are).
Result<store::RangeSet> stage_ranges(const formats::GgufFile& file, const net::FileLayout& layout,
                                     LayerRange layers, const model::TensorShare& share);

}  // namespace exo::app
