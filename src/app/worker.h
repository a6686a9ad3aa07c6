#pragma once
// A thread for work that would hold up the network thread: loading weights, reading tokenizers.

#include <functional>
#include <thread>

#include "base/bounded_queue.h"
#include "base/log.h"
#include "net/caught.h"

namespace exo::app {

class Worker {
 public:
  Worker() : tasks_(1024), thread_([this] { run(); }) {}
  ~Worker() { finish(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // In order, one at a time. A task says itself what became of it, also when that was an exception (net/caught.h);
  // one that leaves a task ends that task only. False when the worker has ended or has far too much to do.
  bool submit(std::function<void()> task) { return tasks_.try_push(std::move(task)); }

  // Waits for the tasks submitted so far; later ones are refused.
  void finish() {
    tasks_.close();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    while (auto task = tasks_.pop()) {
      const Status done = net::caught([&]() -> Status {
        (*task)();
        return {};
      });
      if (!done) log_error("node", "a task failed: {}", done.error().message);
    }
  }

  BoundedQueue<std::function<void()>> tasks_;
  std::thread thread_;
};

}  // namespace exo::app
