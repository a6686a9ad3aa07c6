#pragma once
// A thread for work that would hold up the network thread: loading weights, reading tokenizers.

#include <functional>
#include <thread>

#include "base/bounded_queue.h"

namespace exo::app {

class Worker {
 public:
  Worker() : tasks_(1024), thread_([this] { run(); }) {}
  ~Worker() { finish(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // In order, one at a time. False when the worker has ended or has far too much to do.
  bool submit(std::function<void()> task) { return tasks_.try_push(std::move(task)); }

  // Waits for the tasks submitted so far; later ones are refused.
  void finish() {
    tasks_.close();
    if (thread_.joinable()) thread_.join();
  }

 private:
  void run() {
    while (auto task = tasks_.pop()) (*task)();
  }

  BoundedQueue<std::function<void()>> tasks_;
  std::thread thread_;
};

}  // namespace exo::app
