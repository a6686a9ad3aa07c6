#pragma once
// What the pieces of a model have to be, for those who fetch them or are about to trust an own copy. Where the root
// of the pinned content is known, any peer's manifest that has it; until then the hashes that the pin's origin
// itself tells, which hashes pieces as it is asked.

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/content_pin.h"
#include "base/ids.h"
#include "base/result.h"
#include "net/file_transfer.h"
#include "store/content_manifest.h"

namespace exo::store {

struct ProofRequest {
  std::string fingerprint, model_name;
  uint64_t total_bytes = 0;
  ContentPin pin;
  std::vector<NodeId> sources;  // who may have the manifest, besides the origin
};

// Blocks the calling thread; any thread.
class ContentProof {
 public:
  // `connector` outlives it.
  ContentProof(net::FileConnector& connector, ProofRequest request);
  // Gets the manifest, where the root is known: `kept`, if it is the right one, else from peers. kUnavailable:
  // nobody could give the right one, or nobody is there to prove anything.
  Status establish(std::vector<std::byte> kept = {});
  // Of pieces [first, first + count); after establish(). kUnavailable: the origin did not answer.
  Result<std::vector<net::Digest>> expected(uint64_t first, uint64_t count);
  std::shared_ptr<const ContentManifest> manifest() const { return manifest_; }  // nullptr while no root is known
  void cancel();  // what is going on and all that comes gives kCancelled

 private:
  Result<ContentManifest> manifest_from(const NodeId& peer);
  bool is_right(const Result<ContentManifest>& manifest) const {
    return manifest && manifest->root() == request_.pin.root;
  }
  Status ask_origin(uint64_t piece);
  std::optional<net::Digest> known(uint64_t piece);
  Result<std::shared_ptr<net::FileConnection>> connect(const NodeId& peer);

  net::FileConnector& connector_;
  const ProofRequest request_;
  std::shared_ptr<const ContentManifest> manifest_;
  std::mutex asking_;  // guards origin_, also while the origin is asked
  std::shared_ptr<net::FileConnection> origin_;
  std::mutex mutex_;                              // guards what follows
  std::vector<std::optional<net::Digest>> told_;  // by the origin
  std::shared_ptr<net::FileConnection> busy_;
  bool cancelled_ = false;
};

}  // namespace exo::store
