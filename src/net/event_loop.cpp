#include "net/event_loop.h"

#include <pthread.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "base/check.h"
#include "base/log.h"
#include "net/caught.h"
#include "net/running_time.h"

namespace exo::net {

namespace asio = boost::asio;

struct EventLoop::Impl {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
  std::thread thread;
  std::atomic<std::thread::id> thread_id{};
  struct Timer {
    Timer(asio::io_context& context, TimePoint at, std::function<void()> what)
        : wait(context), due(at), callback(std::move(what)) {}
    asio::steady_timer wait;
    TimePoint due;
    std::function<void()> callback;
  };
  std::unordered_map<TimerId, std::unique_ptr<Timer>> timers;
  TimerId next_timer = 1;
  asio::steady_timer pulse{context};
  std::mutex time_mutex;
  RunningTime time{time_with_sleep()};

  TimePoint now() {
    const std::lock_guard lock(time_mutex);
    return time.look(time_with_sleep());
  }

  void beat() {
    now();
    pulse.expires_after(kPulse);
    pulse.async_wait([this](const boost::system::error_code& error) {
      if (!error) beat();
    });
  }

  // The system's timer does not know that this device was stopped: it rings too early then.
  void wait_for(TimerId id, Timer& timer, Duration delay) {
    timer.wait.expires_after(delay);
    timer.wait.async_wait([this, id](const boost::system::error_code& error) {
      const auto found = timers.find(id);
      if (error || found == timers.end()) return;
      if (const Duration rest = found->second->due - now(); rest > Duration(0))
        return wait_for(id, *found->second, rest);
      const auto callback = std::move(found->second->callback);
      timers.erase(found);
      callback();
    });
  }

  void run() {
    while (!context.stopped()) {
      const Status ran = caught([this]() -> Status {
        context.run();
        return {};
      });
      // A handler's defect ends that handler, not the node.
      if (!ran) log_error("net", "an event handler failed: {}", ran.error().message);
    }
    thread_id = std::thread::id();
  }
};

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {}
EventLoop::~EventLoop() { stop(); }

void EventLoop::start() {
  EXO_CHECK(!impl_->thread.joinable());
  impl_->context.restart();
  impl_->beat();
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
    const std::shared_ptr<void> at_end(nullptr, [&](void*) { finished.set_value(); });  // whatever it throws
    callback();
  });
  finished.get_future().wait();
}

TimePoint EventLoop::now() const { return impl_->now(); }

Duration EventLoop::stopped() const {
  const std::lock_guard lock(impl_->time_mutex);
  return impl_->time.left_out();
}

SteadyPoint EventLoop::steady_now() const { return std::chrono::steady_clock::now(); }

TimerId EventLoop::run_after(Duration delay, std::function<void()> callback) {
  EXO_DCHECK(on_network_thread());
  const TimerId id = impl_->next_timer++;
  auto timer = std::make_unique<Impl::Timer>(impl_->context, now() + delay, std::move(callback));
  impl_->wait_for(id, *impl_->timers.emplace(id, std::move(timer)).first->second, delay);
  return id;
}

void EventLoop::cancel(TimerId timer) {
  EXO_DCHECK(on_network_thread());
  impl_->timers.erase(timer);
}

void EventLoop::post(std::function<void()> callback) { asio::post(impl_->context, std::move(callback)); }

asio::io_context& EventLoop::context() { return impl_->context; }

}  // namespace exo::net
