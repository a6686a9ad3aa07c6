#pragma once
// A model whose bytes are made when they are read is asked for each piece twice within a short time, for its hash
// and for its bytes. This makes it once.

#include <memory>

#include "net/file_transfer.h"

namespace exo::store {

// `source`, with the last pieces that were made kept in memory: 64 MiB at most. Reads of any thread.
std::shared_ptr<const net::FileSource> with_recent_pieces(std::shared_ptr<const net::FileSource> source);

}  // namespace exo::store
