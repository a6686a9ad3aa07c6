#pragma once
// A group's stage in simulations: each member computes hashes, and a step is done when all have computed it. What
// the real members tell each other over their streams (ring/group_links.h) goes over a board that all nodes see.

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "ring/testing/hash_executor.h"

namespace exo::sim {

class GroupExecutor;

class GroupBoard {
 public:
  struct Step {
    std::set<size_t> computed;
    bool failed = false;
  };
  struct Group {
    std::map<uint64_t, Step> steps;
    std::set<GroupExecutor*> members;
    std::map<size_t, uint64_t> newest;  // of each member
  };
  std::map<std::string, Group> groups;  // by instance, epoch and stage
};

class GroupExecutor final : public ring::StageExecutor {
 public:
  GroupExecutor(net::Clock& clock, GroupBoard& board, std::string group, size_t member, size_t n_members,
                std::unique_ptr<ring::testing::HashExecutor> inner)
      : clock_(clock),
        group_(board.groups[group]),
        member_(member),
        n_members_(n_members),
        inner_(std::move(inner)) {
    group_.members.insert(this);
  }
  ~GroupExecutor() override { group_.members.erase(this); }

  void execute(wire::Step step, std::function<void(Result<ring::StageOutput>)> done) override {
    const uint64_t id = step.micro_batch.value;
    const bool alone = step.sequences.empty();
    inner_->execute(std::move(step), [this, id, alone, done = std::move(done)](Result<ring::StageOutput> output) {
      auto& state = group_.steps[id];
      group_.newest[member_] = id;
      if (output && !alone) state.computed.insert(member_);
      if (!output) state.failed = true;
      waiting_.push_back({id, alone, std::move(output), done});
      clock_.run_after(std::chrono::seconds(3), [this, id, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired()) give_up(id);
      });
      look_everywhere();
    });
  }
  void interrupt(MicroBatchId newest) override { give_up(newest.value); }

 private:
  struct Waiting {
    uint64_t id;
    bool alone;
    Result<ring::StageOutput> output;
    std::function<void(Result<ring::StageOutput>)> done;
  };

  void give_up(uint64_t through) {
    bool any = false;
    for (const auto& waiting : waiting_) {
      if (waiting.id > through || waiting.alone) continue;
      group_.steps[waiting.id].failed = any = true;
    }
    if (any) look_everywhere();
  }
  void look_everywhere() {
    for (auto* member : std::set(group_.members)) member->look_soon();
  }
  void look_soon() {
    clock_.post([this, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired()) look();
    });
  }
  // Hands on what is decided, in order.
  void look() {
    const std::weak_ptr<bool> alive = alive_;
    while (!alive.expired() && !waiting_.empty()) {
      auto& first = waiting_.front();
      const auto& state = group_.steps[first.id];
      bool gone_on = false;  // a member that lost the step
      for (const auto& [member, newest] : group_.newest)
        gone_on |= newest > first.id && !state.computed.contains(member);
      const bool failed = state.failed || gone_on;
      if (!first.alone && !failed && state.computed.size() < n_members_) return;
      Waiting decided = std::move(first);
      waiting_.pop_front();
      if (!decided.alone && decided.output && failed) {
        group_.steps[decided.id].failed = true;
        look_everywhere();
        decided.output = fail(ErrorCode::kUnavailable, "a member of the group could not compute the step");
      }
      decided.done(std::move(decided.output));
    }
  }

  net::Clock& clock_;
  GroupBoard::Group& group_;
  const size_t member_, n_members_;
  std::unique_ptr<ring::testing::HashExecutor> inner_;
  std::deque<Waiting> waiting_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace exo::sim
