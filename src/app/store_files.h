#pragma once
// ModelFiles over store/: files of this device where it has them and they are those that count, partial copies
// fetched from peers where not.

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "app/model_files.h"
#include "app/options.h"
#include "cluster/cluster.h"
#include "net/event_loop.h"
#include "net/node_network.h"
#include "store/content_hasher.h"
#include "store/model_store.h"
#include "store/shard_fetcher.h"

namespace exo::app {

class StoreFiles final : public ModelFiles {
 public:
  StoreFiles(const NodeOptions& options, net::EventLoop& loop, net::NodeNetwork& network);
  ~StoreFiles() override;

  void connect(cluster::Cluster& cluster) { cluster_ = &cluster; }  // whose members are asked for what is missing
  net::FileSourceLookup source_lookup();                            // what peers may fetch from this node
  // The name under which the store knows what --model says: a path becomes its model's name, a name stays.
  std::string name_of(const std::string& model_option);
  void stop();          // network thread: fetches end with kCancelled
  void stop_hashing();  // not from the network thread

  // ---- proofs of weights
  // Network thread, now and then: hashes models that others have too, gently while the device computes. `told` is
  // called on the network thread when offers() has a new root.
  void hash_for_others(bool gently, std::function<void()> told);
  // Copies in parts whose pieces were proven by their origin's word before it knew its root are compared with the
  // root's manifest, and keep it. The result: models of which the origin told other hashes then. Any thread;
  // blocks.
  std::vector<std::string> confirm_parts();

  std::vector<wire::ModelOffer> offers() override;
  Result<std::shared_ptr<const formats::GgufFile>> open_layers(const std::string& fingerprint, LayerRange layers,
                                                               const model::TensorShare& share,
                                                               const model::LoadProgress& progress) override;
  Result<std::shared_ptr<const formats::GgufFile>> open_header(const std::string& fingerprint) override;

 private:
  Result<std::shared_ptr<const formats::GgufFile>> open_complete(const std::string& fingerprint);
  static Result<wire::ModelFacts> facts_of_stored(const store::StoredModel& stored);
  using Chooser = decltype(store::FetchRequest::choose);
  Result<std::shared_ptr<const formats::GgufFile>> fetch(const std::string& fingerprint, Chooser choose,
                                                         const model::LoadProgress& progress);
  // What the cluster knows of a model, for a thread other than the network's.
  struct Situation {
    NodeId self;
    ContentPin pin;
    std::string name;
    std::vector<NodeId> sources;
    std::map<NodeId, std::string> names;
  };
  Situation situation(const std::string& fingerprint) const;      // network thread
  Situation ask_situation(const std::string& fingerprint) const;  // other threads
  // The tensors of the own complete copy are those that count. kCorrupt: they are not.
  Status check_own(const std::string& fingerprint, const formats::GgufFile& file, const Chooser& choose,
                   const model::LoadProgress& progress);
  Status compare_own(const Situation& now, const std::string& fingerprint, const store::RangeSet& wanted,
                     const model::LoadProgress& progress);

  net::EventLoop& loop_;
  net::FileConnector& connector_;
  cluster::Cluster* cluster_ = nullptr;
  store::ModelStore store_;
  std::unique_ptr<store::ShardFetcher> fetcher_;  // network thread
  std::atomic<bool> stopping_ = false;            // whoever waits for a fetch does not hear of its end any more
  std::function<void()> told_;                    // network thread
  std::unique_ptr<store::ContentHasher> hasher_;
  std::mutex mutex_;  // guards what follows
  std::map<std::string, std::weak_ptr<const formats::GgufFile>> open_;
  std::map<std::string, wire::ModelFacts> facts_;  // of files that were read once
};

}  // namespace exo::app
