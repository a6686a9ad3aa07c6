#pragma once
// The engine behind a stage, as ring/ sees it: work in, activations or tokens out, later. The real one is a thread
// around model::Stage (ring/engine_thread.h); simulations use a function of the tokens.

#include <cstddef>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "net/clock.h"
#include "wire/messages.h"

namespace exo::ring {

// What a stage computed: activations for the next stage, or tokens at the last.
struct StageOutput {
  std::vector<float> activations;    // [n_rows, d_model]
  std::vector<SampledToken> tokens;  // of the sequences that wanted logits, in order
  std::vector<int32_t> counts;       // how many tokens each of them got: 1 and one for each right guess
  double compute_s = 0;
  net::SteadyPoint began{}, ended{};  // of the computing; zero: not known
};

// How a stage's cache lies in memory, as far as its blocks can be copied. Two stages' caches are alike where type,
// block_positions and block_bytes are.
struct CacheLayout {
  LayerRange layers;
  std::string type;  // of its numbers: "F16"
  int32_t n_blocks = 0, block_positions = 0;
  std::vector<uint64_t> block_bytes;  // [layers.size()]: the keys and values of one block

  // Of one block in `of`, which are among the layers.
  uint64_t bytes_of(LayerRange of) const {
    const auto first = block_bytes.begin() + (of.begin.value - layers.begin.value);
    return std::accumulate(first, first + of.size(), uint64_t{0});
  }
};

// Some layers of some blocks. Its bytes: layer by layer; of each the blocks in order; of a block its keys, then its
// values, each [kv heads, positions, width] as the type stores them (model::Stage::read_cache).
struct CachePart {
  LayerRange layers;
  std::vector<BlockId> blocks;
};

class StageExecutor {
 public:
  virtual ~StageExecutor() = default;
  // Called on the network thread; `done` is called there too, once, in the order of the calls. After the executor
  // is destroyed no `done` is called. Work is computed strictly in order.
  virtual void execute(wire::Step step, std::function<void(Result<StageOutput>)> done) = 0;
  // Steps up to this one may be lost to other devices that compute this stage too: those that wait for them fail.
  virtual void interrupt(MicroBatchId newest) { (void)newest; }
  // The model folds a sequence into a state of fixed size, on this stage or another: a slot's sequence begins at
  // position 0 and continues only where its last step ended. No prefix is shared, nothing guessed.
  virtual bool keeps_state() const { return false; }

  // Blocks of the cache as bytes, in order with the steps; `done` as with execute(). nullopt: this one's cannot be
  // copied, and the functions below fail.
  virtual std::optional<CacheLayout> cache_layout() const { return std::nullopt; }
  // kUnavailable: a block of them is not full, e.g. since the stage was loaded anew.
  virtual void read_cache(CachePart part, std::function<void(Result<std::vector<std::byte>>)> done);
  virtual void write_cache(CachePart part, std::vector<std::byte> bytes, std::function<void(Status)> done);
  // All layers of the blocks have been written: they count as full.
  virtual void complete_blocks(std::vector<BlockId> blocks, std::function<void(Status)> done);
};

inline std::unexpected<Error> no_cache_to_copy() {
  return fail(ErrorCode::kUnsupported, "the cache of this stage cannot be copied");
}
inline void StageExecutor::read_cache(CachePart, std::function<void(Result<std::vector<std::byte>>)> done) {
  done(no_cache_to_copy());
}
inline void StageExecutor::write_cache(CachePart, std::vector<std::byte>, std::function<void(Status)> done) {
  done(no_cache_to_copy());
}
inline void StageExecutor::complete_blocks(std::vector<BlockId>, std::function<void(Status)> done) {
  done(no_cache_to_copy());
}

}  // namespace exo::ring
