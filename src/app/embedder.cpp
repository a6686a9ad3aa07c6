#include "app/embedder.h"

#include "net/caught.h"
#include "ops/cpu/cpu_ops.h"

namespace exo::app {
namespace {

constexpr size_t kKeptModels = 2;

}  // namespace

Embedder::Embedder(net::EventLoop& loop, ModelFiles& files, int32_t threads)
    : loop_(loop), files_(files), threads_(threads) {}

void Embedder::stop() {
  stopping_ = true;
  worker_.finish();
}

Result<model::Encoder*> Embedder::encoder_of(const std::string& fingerprint) {
  for (auto it = loaded_.begin(); it != loaded_.end(); ++it) {
    if (it->fingerprint != fingerprint) continue;
    loaded_.splice(loaded_.begin(), loaded_, it);
    return loaded_.front().encoder.get();
  }
  if (loaded_.size() >= kKeptModels) loaded_.pop_back();
  if (!ops_) ops_ = ops::make_cpu_ops({threads_});
  EXO_TRY(const auto header, files_.open_header(fingerprint));
  EXO_TRY(const auto model, model::read_hyperparameters(*header));
  EXO_TRY(auto file, files_.open_layers(fingerprint, {LayerIndex(0), LayerIndex(model.n_layers())}, {},
                                        [this](uint64_t, uint64_t) { return !stopping_; }));
  EXO_TRY(auto encoder, model::load_encoder(std::move(file), *ops_));
  loaded_.push_front({fingerprint, std::move(encoder)});
  return loaded_.front().encoder.get();
}

template <typename T>
void Embedder::each(const std::string& fingerprint, TextsPtr texts,
                    Result<T> (model::Encoder::*one)(std::span<const TokenId>),
                    std::function<void(Result<std::vector<T>>)> done) {
  const auto work = [this, fingerprint, texts, one]() -> Result<std::vector<T>> {
    EXO_TRY(auto* const encoder, encoder_of(fingerprint));
    std::vector<T> results;
    for (const auto& text : *texts) {
      if (stopping_) return fail(ErrorCode::kUnavailable, "this node is being stopped");
      EXO_TRY(auto result, (encoder->*one)(text));
      results.push_back(std::move(result));
    }
    return results;
  };
  const auto answer = std::make_shared<decltype(done)>(std::move(done));
  const bool accepted = worker_.submit([this, work, answer] {
    auto result = std::make_shared<Result<std::vector<T>>>(net::caught(work));
    loop_.post([answer, result] { (*answer)(std::move(*result)); });
  });
  if (accepted) return;
  loop_.post(
      [answer] { (*answer)(fail(ErrorCode::kResourceExhausted, "too many texts wait for their embeddings")); });
}

void Embedder::embed(const std::string& fingerprint, TextsPtr texts,
                     std::function<void(Result<std::vector<std::vector<float>>>)> done) {
  each<std::vector<float>>(fingerprint, std::move(texts), &model::Encoder::embed, std::move(done));
}

void Embedder::rank(const std::string& fingerprint, TextsPtr texts,
                    std::function<void(Result<std::vector<float>>)> done) {
  each<float>(fingerprint, std::move(texts), &model::Encoder::rank, std::move(done));
}

}  // namespace exo::app
