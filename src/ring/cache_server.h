#pragma once
// Answers who reads a stage's KV cache to carry it over to the next ring. Network thread only.

#include <map>
#include <memory>

#include "net/transport.h"
#include "ring/stage_executor.h"
#include "wire/messages.h"

namespace exo::ring {

class CacheServer {
 public:
  explicit CacheServer(net::Transport& transport) : transport_(transport) {}

  // `allowed`: the layers that `from` has a right to. Answered with a CachePiece, whatever is asked; nothing is
  // read or allocated before every layer, block and size has been checked. Null: the stage is not loaded.
  void serve(const NodeId& from, wire::CacheRead read, const LayerRange& allowed, StageExecutor* executor);

  static constexpr uint64_t kMostUnderWay = 8 << 20;  // bytes that are being read for one device

 private:
  net::Transport& transport_;
  std::map<NodeId, uint64_t> reading_bytes_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::ring
