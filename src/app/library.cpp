#include "app/library.h"

#include <algorithm>

#include "app/model_argument.h"
#include "net/caught.h"

namespace exo::app {

namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// Largest first, the bundled model last.
bool better_default(const wire::ModelFacts& a, const wire::ModelFacts& b) {
  const bool a_is_demo = a.name == kDemoModelName, b_is_demo = b.name == kDemoModelName;
  if (a_is_demo != b_is_demo) return b_is_demo;
  return a.file_bytes > b.file_bytes;
}

}  // namespace

Library::Library(net::EventLoop& loop, ModelFiles& files, std::string default_model)
    : loop_(loop), files_(files), default_model_(std::move(default_model)) {}

Result<wire::ModelFacts> Library::resolve(const std::string& name) const {
  const auto models = cluster_->models();
  const std::string wanted = lower(name.empty() ? default_model_ : name);
  if (wanted.empty()) {
    for (const auto& view : cluster_->instances()) {
      const auto it = std::ranges::find(models, view.record.fingerprint, &wire::ModelFacts::fingerprint);
      if (!view.record.stopped && it != models.end()) return *it;
    }
    const auto best = std::ranges::min_element(models, better_default);
    if (best != models.end()) return *best;
  }
  const wire::ModelFacts* prefixed = nullptr;
  size_t n_prefixed = 0;
  std::string names;
  for (const auto& facts : models) {
    if (lower(facts.name) == wanted || facts.fingerprint == wanted) return facts;
    if (lower(facts.name).starts_with(wanted)) prefixed = &facts, ++n_prefixed;
    names += (names.empty() ? "" : ", ") + facts.name;
  }
  if (n_prefixed == 1) return *prefixed;
  return fail(ErrorCode::kNotFound, "no device of the cluster has a model named '{}'; there is: {}",
              name.empty() ? default_model_ : name, names.empty() ? "none" : names);
}

void Library::find(const std::string& name, std::function<void(Result<api::ServedModel>)> done) {
  auto facts = resolve(name);
  if (!facts) {
    return loop_.post([done = std::move(done), error = std::move(facts).error()] { done(std::unexpected(error)); });
  }
  if (const auto it = loaded_.find(facts->fingerprint); it != loaded_.end()) {
    return loop_.post([done = std::move(done), model = api::ServedModel{*facts, it->second}] { done(model); });
  }
  const bool accepted = worker_.submit([this, facts = *facts, done] {
    auto read = [&]() -> Result<std::shared_ptr<const chat::TextModel>> {
      EXO_TRY(const auto file, files_.open_header(facts.fingerprint));
      return chat::load_text_model(file->metadata());
    };
    loop_.post([this, facts, done, text = net::caught(read)] {
      if (!text) return done(std::unexpected(text.error()));
      loaded_[facts.fingerprint] = *text;
      done(api::ServedModel{facts, *text});
    });
  });
  if (!accepted) {
    loop_.post([done = std::move(done)] {
      done(fail(ErrorCode::kResourceExhausted, "too many models are being opened"));
    });
  }
}

}  // namespace exo::app
