#pragma once
// Compares what is here with what it has to be, on several threads.

#include <functional>
#include <vector>

#include "store/content_proof.h"

namespace exo::store {

// The hash of the own copy of a piece; any thread.
using OwnHash = std::function<Result<net::Digest>(uint64_t piece)>;
// Bytes that were compared since the last call; false ends the check with kCancelled. Any thread, one call at a
// time.
using CheckProgress = std::function<bool(uint64_t bytes)>;

// Those of `pieces` that differ, in order. Errors of `own` count as a difference, those of the proof end it.
Result<std::vector<uint64_t>> differing_pieces(const std::vector<uint64_t>& pieces, uint64_t total_bytes,
                                               const OwnHash& own, ContentProof& proof,
                                               const CheckProgress& progress);

}  // namespace exo::store
