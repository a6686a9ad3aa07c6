#pragma once
// Fills blocks of a stage's KV cache from those that the ring before had (serve/cache_import.h): reads each layer
// from the device that computed it there, in pieces, and writes them into the own stage. Network thread only.
//
// A piece is small, and only so many bytes are under way from a device as its link carries in a few milliseconds:
// steps on the same link wait no longer behind them. The own device's caches are read in the same way, by messages
// that it sends to itself.
//
// Nothing is written to a block once a step uses it. The scheduler may give a block up whose filling takes too
// long, and use it otherwise; the step that does so ends the filling here, before it is computed.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "net/clock.h"
#include "net/transport.h"
#include "ring/stage_executor.h"
#include "wire/messages.h"

namespace exo::ring {

class CacheFiller {
 public:
  struct Source {  // who had these layers
    NodeId node;
    LayerRange layers;
  };
  struct Options {
    std::string fingerprint;
    Epoch epoch;                  // the own one
    NodeId scheduler;             // hears what became of the batches
    std::vector<Source> sources;  // the stages of the ring before
    // Bytes per second from a device; 0: not known.
    std::function<double(const NodeId&)> bandwidth;
    net::Duration deadline = std::chrono::seconds(4);  // without a piece
  };

  // The executor has a layout and outlives the filler.
  CacheFiller(net::Clock& clock, net::Transport& transport, StageExecutor& executor, Options options);
  ~CacheFiller();  // what is under way is given up, silently

  // Answered with a CacheFilled, to the scheduler.
  void fill(wire::CacheFill fill);
  void on_piece(const NodeId& from, wire::CachePiece piece);
  // Before the step is computed.
  void on_step(const wire::Step& step);
  void on_link_down(const NodeId& peer);

  static constexpr size_t kMostBatches = 8;

 private:
  struct Batch {
    std::vector<BlockId> to;
    size_t parts_left = 0;
    uint64_t bytes = 0;
  };
  struct Part {  // of a batch, from one source
    uint64_t batch = 0;
    NodeId node;
    LayerRange layers;
    std::vector<BlockId> from, to;
    uint64_t bytes = 0;
  };
  struct Peer {
    std::deque<Part> waiting;
    uint64_t under_way_bytes = 0;
  };

  void split(uint64_t batch, const wire::CacheFill& fill, const Source& source);
  void ask();
  void ask(const NodeId& node, Peer& peer);
  void on_written(uint64_t batch, const Status& written);
  void answer(uint64_t batch, std::string error);
  uint64_t window_bytes(const NodeId& node) const;
  void watch();

  net::Clock& clock_;
  net::Transport& transport_;
  StageExecutor& executor_;
  const Options options_;
  const CacheLayout layout_;
  std::map<uint64_t, Batch> batches_;
  std::map<NodeId, Peer> peers_;
  std::map<uint64_t, Part> under_way_;  // by nonce
  uint64_t last_nonce_ = 0;
  net::TimePoint last_piece_{};
  net::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::ring
