#pragma once
// The network thread: one event loop that owns every socket and all cluster state. Also the real Clock.

#include <memory>

#include "net/clock.h"

namespace boost::asio {
class io_context;
}

namespace exo::net {

class EventLoop final : public Clock {
 public:
  EventLoop();
  ~EventLoop() override;  // stops
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // Runs the loop on a thread of its own, until stop().
  void start();
  // Ends the loop after the callback in progress and joins its thread; what was posted and not begun is dropped.
  // Not from the network thread.
  void stop();
  // True on the thread that runs the loop, and on every thread while no thread does.
  bool on_network_thread() const;
  // Runs `callback` on the network thread and waits for its end, be it that it throws: that is logged as of every
  // handler, and nobody waits for ever. At once when already there or when the loop is not
  // running. For wiring and tests, not for the way of a token.
  void run_and_wait(const std::function<void()>& callback);

  TimePoint now() const override;  // any thread
  Duration stopped() const override;
  SteadyPoint steady_now() const override;
  TimerId run_after(Duration delay, std::function<void()> callback) override;
  void cancel(TimerId timer) override;
  void post(std::function<void()> callback) override;

  boost::asio::io_context& context();  // for net/ and api/

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace exo::net
