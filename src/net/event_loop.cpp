#include "net/event_loop.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <exception>
#include <future>
#include <thread>
#include <unordered_map>

#include "base/check.h"
#include "base/log.h"

namespace exo::net {

namespace asio = boost::asio;

struct EventLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
  std::thread thread;
  std::atomic<std::thread::id> thread_id{};
  std::unordered_map<TimerId, std::unique_ptr<asio::steady_timer>> timers;
  TimerId next_timer = 1;

  void run() {
    while (!context.stopped()) {
      try {
        context.run();
      } catch (const std::exception& error) {
        // A handler's defect ends that handler, not the node.
        log_error("net", "an event handler failed: {}", error.what());
      }
    }
    thread_id = std::thread::id();
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() { stop(); }

void EventLoop::start() {
  EXO_CHECK(!impl_->thread.joinable());
  impl_->context.restart();
  impl_->thread = std::thread([this] { impl_->run(); });
  impl_->thread_id = impl_->thread.get_id();
}

void EventLoop::stop() {
  impl_->context.stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool EventLoop::on_network_thread() const {
  const auto id = impl_->thread_id.load();
  return id == std::thread::id() || id == std::this_thread::get_id();
}

void EventLoop::run_and_wait(const std::function<void()>& callback) {
  if (on_network_thread()) return callback();
  std::promise<void> finished;
  post([&] {
    callback();
    finished.set_value();
  });
  finished.get_future().wait();
}

TimePoint EventLoop::now() const { return std::chrono::steady_clock::now(); }

TimerId EventLoop::run_after(Duration delay, std::function<void()> callback) {
  EXO_DCHECK(on_network_thread());
  const TimerId id = impl_->next_timer++;
  auto timer = std::make_unique<asio::steady_timer>(impl_->context, delay);
  timer->async_wait([this, id, callback = std::move(callback)](const boost::system::error_code& error) {
    if (error || impl_->timers.erase(id) == 0) return;
    callback();
  });
  impl_->timers.emplace(id, std::move(timer));
  return id;
}

void EventLoop::cancel(TimerId timer) {
  EXO_DCHECK(on_network_thread());
  impl_->timers.erase(timer);
}

void EventLoop::post(std::function<void()> callback) { asio::post(impl_->context, std::move(callback)); }

asio::io_context& EventLoop::context() { return impl_->context; }

}  // namespace exo::net
