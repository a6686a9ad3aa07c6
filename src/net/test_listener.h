#pragma once
// For tests: a port of the loopback interface. Its connections are handled one after the other on a thread of its
// own.

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>
#include <thread>
#include <utility>

namespace exo::net {

class TestListener {
 public:
  using Handle = std::function<void(boost::asio::ip::tcp::socket)>;
  explicit TestListener(Handle handle) : handle_(std::move(handle)), thread_([this] { run(); }) {}
  ~TestListener() { stop(); }

  // Waits for the connection that is being handled. Again: nothing.
  void stop() {
    if (!thread_.joinable()) return;
    stopped_ = true;
    boost::asio::ip::tcp::socket wake(context_);
    boost::system::error_code ignored;
    wake.connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }
  uint16_t port() const { return acceptor_.local_endpoint().port(); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port()); }
  boost::asio::io_context& context() {
    return context_;
  }  // for sockets of the handler's own; they and those that it was given must not outlive this

 private:
  void run() {
    for (;;) {
      boost::system::error_code error;
      boost::asio::ip::tcp::socket socket(context_);
      acceptor_.accept(socket, error);
      if (stopped_) return;
      if (!error) handle_(std::move(socket));
    }
  }

  boost::asio::io_context context_;
  boost::asio::ip::tcp::acceptor acceptor_{context_, {boost::asio::ip::address_v4::loopback(), 0}};
  const Handle handle_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace exo::net
