#pragma once
// For tests: the members of a group as threads of one process.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "model/tensor_group.h"

namespace exo::model {

// What its members send each other lies here until all have taken it. After fail() every call fails.
class LocalGroup {
 public:
  explicit LocalGroup(int32_t n_members) : sent_(static_cast<size_t>(n_members)) {
    for (int32_t i = 0; i < n_members; ++i) ends_.push_back(std::make_unique<End>(*this, i));
  }

  GroupExchange* end(int32_t member) { return ends_[static_cast<size_t>(member)].get(); }
  void fail() {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }

  // Runs task(member) on a thread for each member.
  void run(const std::function<void(int32_t)>& task) {
    std::vector<std::thread> threads;
    for (int32_t i = 0; i < static_cast<int32_t>(ends_.size()); ++i) threads.emplace_back([&task, i] { task(i); });
    for (auto& thread : threads) thread.join();
  }

 private:
  struct End final : GroupExchange {
    End(LocalGroup& group_in, int32_t member_in) : group(group_in), member(static_cast<size_t>(member_in)) {}
    Status exchange(std::span<const std::byte> own, std::span<const std::span<std::byte>> parts,
                    Receivers receivers) override {
      group.sent_[member] = own;
      if (!group.meet()) return exo::fail(ErrorCode::kUnavailable, "a member is gone");
      const bool receives = receivers == Receivers::kAll || member == 0;
      bool fits = true;
      for (size_t i = 0; receives && i < parts.size(); ++i) {
        if (i == member) continue;
        fits = fits && parts[i].size() == group.sent_[i].size();
        if (fits) std::ranges::copy(group.sent_[i], parts[i].begin());
      }
      if (!group.meet()) return exo::fail(ErrorCode::kUnavailable, "a member is gone");
      if (!fits) return exo::fail(ErrorCode::kInternal, "a part of another size");
      return {};
    }
    LocalGroup& group;
    size_t member;
  };

  bool meet() {
    std::unique_lock lock(mutex_);
    const uint64_t round = round_;
    if (++waiting_ == sent_.size()) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return failed_ || round_ != round; });
    return !failed_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::span<const std::byte>> sent_;
  std::vector<std::unique_ptr<End>> ends_;
  size_t waiting_ = 0;
  uint64_t round_ = 0;
  bool failed_ = false;
};

}  // namespace exo::model
