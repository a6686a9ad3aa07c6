#pragma once
// ModelFiles over store/: files of this device where it has them, partial copies fetched from peers where not.

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "app/model_files.h"
#include "app/options.h"
#include "cluster/cluster.h"
#include "net/event_loop.h"
#include "net/node_network.h"
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
  void stop();  // network thread: fetches end with kCancelled

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

  net::EventLoop& loop_;
  cluster::Cluster* cluster_ = nullptr;
  store::ModelStore store_;
  std::unique_ptr<store::ShardFetcher> fetcher_;  // network thread
  std::mutex mutex_;                              // guards what follows
  std::map<std::string, std::weak_ptr<const formats::GgufFile>> open_;
  std::map<std::string, wire::ModelFacts> facts_;  // of files that were read once
};

}  // namespace exo::app
