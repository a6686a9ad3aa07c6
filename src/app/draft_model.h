#pragma once
// The model of --draft on this node: found like any other, its memory set aside, loaded when this node holds the
// first stage of a model with the same vocabulary, and from then on guessing for every such model. It stays loaded
// until the node stops.

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "api/services.h"
#include "app/device_watch.h"
#include "app/library.h"
#include "app/model_files.h"
#include "app/options.h"
#include "app/worker.h"
#include "ring/draft_engine.h"
#include "serve/node_service.h"
#include "text/tokenizer.h"

namespace exo::app {

// What a whole draft model takes with a cache for the node's context.
Result<uint64_t> draft_bytes(const wire::ModelFacts& facts, int32_t context_tokens);

// Network thread, but for stop().
class DraftModel {
 public:
  // `name`: as the library knows it; empty: there is no draft model. The others outlive it.
  DraftModel(const NodeOptions& options, net::EventLoop& loop, ModelFiles& files, const Library& library,
             std::string name, ring::IdleGate gate);
  ~DraftModel();

  void connect(cluster::Cluster& cluster, serve::RingService& ring, DeviceWatch& device);
  // Before the cluster starts and every few seconds: looks for the model and for memory until it has both.
  void refresh();
  // ring::DrafterSource
  std::unique_ptr<ring::Drafter> drafter_for(const std::string& fingerprint, ring::DraftSink& sink);
  std::optional<api::DraftView> view() const;
  void stop();  // cancels and waits; not from the network thread

 private:
  struct Engine;
  struct Target {  // a model whose first stage is here
    bool compared = false;
    int32_t shared_tokens = 0;
    std::string why_not;
    bool fits() const { return compared && why_not.empty(); }
  };
  enum class State { kSearching, kFound, kLoading, kReady, kRefused };

  Status find();
  Status set_memory_aside();
  Status check_stages() const;
  void compare(const std::string& fingerprint);
  void on_compared(const std::string& fingerprint, const Result<int32_t>& shared);
  void begin_load();
  void on_loaded(Result<std::shared_ptr<Engine>> engine);
  void refuse(State state, const Error& why);
  // Worker thread.
  Result<int32_t> shared_with(const std::string& fingerprint);
  Result<std::shared_ptr<Engine>> load();

  const NodeOptions& options_;
  net::EventLoop& loop_;
  ModelFiles& files_;
  const Library& library_;
  const std::string name_;
  const ring::IdleGate gate_;
  cluster::Cluster* cluster_ = nullptr;
  serve::RingService* ring_ = nullptr;
  DeviceWatch* device_ = nullptr;

  State state_ = State::kSearching;
  std::string problem_;
  wire::ModelFacts facts_;  // does not change once it is found
  uint64_t bytes_ = 0;
  std::map<std::string, Target> targets_;  // by fingerprint
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<text::Tokenizer> tokenizer_;  // worker thread
  std::atomic<bool> stopping_ = false;
  Worker worker_;
};

}  // namespace exo::app
