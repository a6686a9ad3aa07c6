// What counts as time in which this device ran, and who goes by it.

#include "net/running_time.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <csignal>
#include <future>
#include <thread>

#include "net/channel.h"
#include "net/event_loop.h"

namespace exo::net {
namespace {

using namespace std::chrono_literals;

TEST(RunningTime, LeavesOutWhatPassedWithoutALook) {
  RunningTime time(1h);
  const TimePoint start = time.look(1h);
  Duration now = 1h;
  for (int i = 0; i < 100; ++i) time.look(now += kPulse);
  EXPECT_EQ(time.look(now) - start, 100 * kPulse);
  EXPECT_EQ(time.left_out(), 0s);
  EXPECT_EQ(time.look(now += 90s) - start, 100 * kPulse + kLongestStep);
  EXPECT_EQ(time.left_out(), 90s - kLongestStep);
  EXPECT_EQ(time.look(now - 1s) - start, 100 * kPulse + kLongestStep) << "clocks do not go back";
  EXPECT_EQ(time.look(now + kPulse) - start, 101 * kPulse + kLongestStep);
}

// Stops a child process, as a terminal's Ctrl-Z or a debugger does, and hears from it what it saw.
std::string seen_by_stopped_process(const std::function<std::string()>& work) {
  int pipe_ends[2];
  EXPECT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string said = work();
    const auto ignored = ::write(pipe_ends[1], said.data(), said.size());
    ::_exit(ignored < 0 ? 1 : 0);
  }
  ::close(pipe_ends[1]);
  std::this_thread::sleep_for(300ms);
  ::kill(child, SIGSTOP);
  std::this_thread::sleep_for(2s);
  ::kill(child, SIGCONT);
  char text[256];
  const ssize_t n = ::read(pipe_ends[0], text, sizeof text);
  ::close(pipe_ends[0]);
  return {text, static_cast<size_t>(std::max<ssize_t>(n, 0))};
}

TEST(RunningTime, TheLoopsClockAndTimersStandStillWhileTheProcessIsStopped) {
  const std::string said = seen_by_stopped_process([] {
    EventLoop loop;
    std::promise<std::string> done;
    const TimePoint start = loop.now();
    const SteadyPoint steady_start = loop.steady_now();
    loop.start();
    loop.post([&] {
      loop.run_after(1500ms, [&] {
        const bool stood_still = loop.now() - start < 2500ms && loop.stopped() > 1s;
        const bool waited = loop.steady_now() - steady_start > 2900ms;
        done.set_value(stood_still && waited ? "right" : "wrong");
      });
    });
    return done.get_future().get();
  });
  EXPECT_EQ(said, "right");
}

TEST(RunningTime, ASocketsDeadlineDoesNotPassWhileTheProcessIsStopped) {
  namespace asio = boost::asio;
  using asio::ip::tcp;
  const std::string said = seen_by_stopped_process([] {
    asio::io_context context;
    tcp::socket socket(context, tcp::v4());
    SocketDeadline deadline(socket, 1500ms);
    const auto start = std::chrono::steady_clock::now();
    while (socket.is_open() && std::chrono::steady_clock::now() - start < 10s) context.run_for(50ms);
    const bool waited = std::chrono::steady_clock::now() - start > 2900ms;
    return std::string(deadline.expired() && waited ? "right" : "wrong");
  });
  EXPECT_EQ(said, "right");
}

TEST(RunningTime, ADeadlineCanBeExtended) {
  namespace asio = boost::asio;
  asio::io_context context;
  asio::ip::tcp::socket socket(context, asio::ip::tcp::v4());
  SocketDeadline deadline(socket, 200ms);
  for (int i = 0; i < 10; ++i) {
    deadline.extend(200ms);
    context.run_for(50ms);
  }
  EXPECT_FALSE(deadline.expired());
  context.run_for(2s);
  EXPECT_TRUE(deadline.expired());
}

}  // namespace
}  // namespace exo::net
