#pragma once
// Fills blocks of a stage's KV cache from those that the ring before had (serve/cache_import.h): reads each layer
// from the device that computed it there, in pieces, and writes them into the own stage. Network thread only.
//
// A piece is small, and only so many bytes are under way from a device as its link carries in a few milliseconds:
// steps on the same link wait no longer behind them. The own device's caches are read in the same way, by messages
// that it sends to itself.
//
// Steps and orders to fill come on different ways. Nothing is written to a block before the steps that the
// scheduler sent before the order have been taken: they may use it for a request that is gone. And nothing once a
// later step uses it: the scheduler may give a block up whose filling takes too long, and use it otherwise.

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

  // The executor has a layout and outlives the filler. It has taken the steps up to `newest` and is told of all
  // others.
  CacheFiller(net::Clock& clock, net::Transport& transport, StageExecutor& executor, MicroBatchId newest,
              Options options);
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
    wire::CacheFill order;
    bool begun = false;
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

  bool is_sound(const wire::CacheFill& fill) const;
  void begin(uint64_t batch);
  bool is_used(const Batch& batch) const;
  std::vector<uint64_t> ids() const;  // of all batches
  void split(Batch& batch, const Source& source);
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
  MicroBatchId newest_step_;
  std::vector<MicroBatchId> used_by_;  // [n_blocks], the last step that brought the block into a table; 0: none did
  uint64_t last_nonce_ = 0;
  net::TimePoint last_piece_{};
  net::TimerId timer_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::ring
