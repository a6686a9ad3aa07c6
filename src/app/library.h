#pragma once
// api::ModelLibrary for real: names to models, with tokenizer and template read once per model.

#include <map>
#include <string>

#include "api/services.h"
#include "app/model_files.h"
#include "app/worker.h"
#include "net/event_loop.h"

namespace exo::app {

class Library final : public api::ModelLibrary {
 public:
  // `default_model`: what an empty name means; empty: what is loaded, else the largest model, else the bundled one.
  Library(net::EventLoop& loop, ModelFiles& files, std::string default_model);

  void connect(cluster::Cluster& cluster) { cluster_ = &cluster; }
  void stop() { worker_.finish(); }  // not from the network thread

  void find(const std::string& name, std::function<void(Result<api::ServedModel>)> done) override;
  // The model of that name as the cluster offers it now.
  Result<wire::ModelFacts> resolve(const std::string& name) const;

 private:
  net::EventLoop& loop_;
  ModelFiles& files_;
  const std::string default_model_;
  cluster::Cluster* cluster_ = nullptr;
  std::map<std::string, std::shared_ptr<const chat::TextModel>> loaded_;  // by fingerprint; network thread
  Worker worker_;
};

}  // namespace exo::app
