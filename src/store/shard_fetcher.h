#pragma once
// Brings the parts of a model that this device needs from the peers that have them: the header first, proven by the
// model's fingerprint, then the pieces that hold the asked ranges, from all peers at once, each proven by its hash
// before it is written. What is here from before is compared likewise. What has come stays, also after a crash; a
// peer that fails, or sends something else, is replaced by the others.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/content_pin.h"
#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "net/clock.h"
#include "net/file_transfer.h"
#include "store/byte_ranges.h"
#include "store/partial_file.h"

namespace exo::store {

struct FetchRequest {
  std::string fingerprint;
  std::string name;    // for people
  ContentPin content;  // whose weights they have to be
  std::vector<NodeId> sources;
  std::map<NodeId, std::string> names;  // of devices, for people
  // Called on a thread of the fetcher once the header is here (and proven): which bytes are needed, usually
  // tensor_ranges() of the stage's tensors. The file's tensors read as zeros meanwhile.
  std::function<Result<RangeSet>(const formats::GgufFile& file, const net::FileLayout& layout)> choose;
};

struct FetchProgress {
  uint64_t done_bytes = 0, total_bytes = 0;  // proven pieces of those chosen, including what was here before
};

using FetchId = uint64_t;

// Network thread, destructor included; waits there for its threads to notice (well under a second).
class ShardFetcher {
 public:
  // `connector` outlives the fetcher. Files go to `folder`.
  ShardFetcher(net::Clock& clock, net::FileConnector& connector, std::filesystem::path folder);
  ~ShardFetcher();

  // `progress` (at most some ten times a second) and `done` come on the network thread, `done` last and once,
  // except after cancel(). kNotFound/kUnavailable: no source could give it, or nobody prove it; kResourceExhausted:
  // no room on the disk; kCorrupt: what came are not the model's headers or weights, and no other source was left.
  FetchId fetch(FetchRequest request, std::function<void(const FetchProgress&)> progress,
                std::function<void(Result<std::shared_ptr<PartialFile>>)> done);
  void cancel(FetchId fetch);  // no callback comes any more; what has arrived stays on the disk

 private:
  struct SharedFile;
  class Job;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Where a tensor's bytes are in the layout's addresses.
ByteRange tensor_range(const net::FileLayout& layout, const formats::TensorView& tensor);

}  // namespace exo::store
