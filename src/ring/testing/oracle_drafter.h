#pragma once
// A Drafter for tests beside HashExecutor: knows what really follows and says so with some probability, on virtual
// time. May also be silent, give up, or talk nonsense.

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "net/clock.h"
#include "ring/drafter.h"
#include "ring/testing/hash_executor.h"

namespace exo::ring::testing {

struct OracleDrafterOptions {
  double right = 1;                                        // probability of a guess; fixed for a text
  net::Duration per_guess = std::chrono::milliseconds(1);  // sequences after each other
  net::Duration per_token_read = std::chrono::microseconds(50);
  double silent = 0, gives_up = 0, nonsense = 0;  // probability for an order
  uint64_t seed = 1;
};

// What all drafters of a test did.
struct DraftLog {
  uint64_t orders = 0, guesses = 0;
  size_t known = 0;  // sequences that were not forgotten
};

class OracleDrafter final : public Drafter {
 public:
  OracleDrafter(net::Clock& clock, DraftSink& sink, DraftLog& log, OracleDrafterOptions options)
      : clock_(clock), sink_(sink), log_(log), options_(options) {}
  ~OracleDrafter() override {
    for (const auto& [sequence, work] : works_) clock_.cancel(work.timer);
    log_.known -= works_.size();
  }

  void propose(DraftOrder order) override {
    ++log_.orders;
    const uint64_t sequence = order.sequence;
    if (!works_.contains(sequence)) ++log_.known;
    Work& work = works_[sequence];
    clock_.cancel(work.timer);
    const auto common = std::ranges::mismatch(work.order.tokens, order.tokens).in2 - order.tokens.begin();
    const auto unread = static_cast<int64_t>(order.tokens.size()) - common;
    work = {std::move(order)};
    const double fate = chance(++n_orders_);
    if (fate < options_.silent) return;
    work.state = fate < options_.silent + options_.gives_up ? DraftState::kCannot : DraftState::kGoesOn;
    work.nonsense = chance(n_orders_ * 77) < options_.nonsense;
    schedule(sequence, unread * options_.per_token_read);
  }
  void forget(uint64_t sequence) override {
    const auto found = works_.find(sequence);
    if (found == works_.end()) return;
    clock_.cancel(found->second.timer);
    works_.erase(found);
    --log_.known;
  }
  double guess_s() const override { return std::chrono::duration<double>(options_.per_guess).count(); }

 private:
  struct Work {
    DraftOrder order;
    DraftState state = DraftState::kGoesOn;
    bool nonsense = false;
    int32_t made = 0;
    net::TimerId timer = 0;
  };

  double chance(uint64_t n) const {
    return static_cast<double>(extend_hash(options_.seed * 1000003 + n, TokenId(7)) % 10000) / 10000;
  }

  void schedule(uint64_t sequence, net::Duration reading) {
    busy_until_ = std::max(busy_until_, clock_.now()) + reading + options_.per_guess;
    works_[sequence].timer = clock_.run_after(busy_until_ - clock_.now(), [this, sequence] { work_on(sequence); });
  }

  void work_on(uint64_t sequence) {
    Work& work = works_.at(sequence);
    const uint64_t version = work.order.version;
    if (work.state == DraftState::kCannot) return sink_.on_guesses(sequence, version, {}, DraftState::kCannot);
    if (work.order.count == 0) return sink_.on_guesses(sequence, version, {}, DraftState::kDone);
    const TokenId guess = work.nonsense ? TokenId(kHashVocabulary + 3) : next(work.order);
    work.order.tokens.push_back(guess);
    ++log_.guesses;
    const bool done = ++work.made == work.order.count;
    if (!done) schedule(sequence, {});
    sink_.on_guesses(sequence, version, {&guess, 1}, done ? DraftState::kDone : DraftState::kGoesOn);
  }

  TokenId next(const DraftOrder& order) const {
    uint64_t hash = 0;
    for (const TokenId token : order.tokens) hash = extend_hash(hash, token);
    const auto position = static_cast<int32_t>(order.tokens.size());
    const TokenId right = next_hash_token(hash, order.sampler.seed, position);
    if (chance(hash) < options_.right) return right;
    return TokenId((right.value + 1 + static_cast<int32_t>(hash % 50)) % kHashVocabulary);
  }

  net::Clock& clock_;
  DraftSink& sink_;
  DraftLog& log_;
  const OracleDrafterOptions options_;
  std::map<uint64_t, Work> works_;
  uint64_t n_orders_ = 0;
  net::TimePoint busy_until_{};
};

}  // namespace exo::ring::testing
