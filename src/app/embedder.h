#pragma once
// api::EmbeddingService for real: loads whole models on a thread of its own and keeps the last ones used.

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "api/services.h"
#include "app/model_files.h"
#include "app/worker.h"
#include "model/encoder.h"
#include "net/event_loop.h"
#include "ops/ops.h"

namespace exo::app {

class Embedder final : public api::EmbeddingService {
 public:
  Embedder(net::EventLoop& loop, ModelFiles& files, int32_t threads);
  void stop();  // cancels and waits; not from the network thread

  void embed(const std::string& fingerprint, TextsPtr texts,
             std::function<void(Result<std::vector<std::vector<float>>>)> done) override;
  void rank(const std::string& fingerprint, TextsPtr texts,
            std::function<void(Result<std::vector<float>>)> done) override;

 private:
  struct Loaded {
    std::string fingerprint;
    std::unique_ptr<model::Encoder> encoder;
  };

  // Runs `one` on each text, in order, on the worker; `done` comes back on the network thread.
  template <typename T>
  void each(const std::string& fingerprint, TextsPtr texts,
            Result<T> (model::Encoder::*one)(std::span<const TokenId>),
            std::function<void(Result<std::vector<T>>)> done);
  Result<model::Encoder*> encoder_of(const std::string& fingerprint);

  net::EventLoop& loop_;
  ModelFiles& files_;
  const int32_t threads_;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<ops::Ops> ops_;  // of the worker, like all loaded models
  std::list<Loaded> loaded_;       // the last used first
  Worker worker_;
};

}  // namespace exo::app
