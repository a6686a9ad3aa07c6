#pragma once
// Threads that work for one call and end with it. What one of them throws is an error of the call.

#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/result.h"

namespace exo::store {

class WorkThreads {
 public:
  WorkThreads() = default;
  ~WorkThreads();
  WorkThreads(const WorkThreads&) = delete;
  WorkThreads& operator=(const WorkThreads&) = delete;

  // One thread does it. on_error: told of what `work` threw, on that thread, so that the others need not go on.
  void start(std::function<void()> work, std::function<void(const Error&)> on_error);
  void join();

 private:
  std::vector<std::thread> threads_;
};

}  // namespace exo::store
