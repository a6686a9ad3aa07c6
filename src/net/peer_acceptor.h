#pragma once
// The peer port: takes connections, runs TLS, reads the first HTTP request and hands the channel on. What strangers
// can occupy is bounded: connections not yet admitted in number, per address and in time. Network thread only.

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "net/channel.h"
#include "net/event_loop.h"

namespace exo::net {

inline constexpr size_t kMaxStrangers = 128;  // connections that are not yet admitted
inline constexpr size_t kMaxStrangersPerAddress = 32;

// One place among the strangers; given back when destroyed.
using StrangerPlace = std::shared_ptr<void>;

struct IncomingRequest {
  std::unique_ptr<WebSocket> channel;  // TLS is up
  HttpRequest request;
  boost::beast::flat_buffer rest;  // read beyond the request
  boost::asio::ip::tcp::endpoint remote, local;
  StrangerPlace place;                       // let go once admitted
  std::unique_ptr<SocketDeadline> deadline;  // let go once admitted
};

class PeerAcceptor {
 public:
  struct Handlers {
    std::function<bool(const std::string& local_address)> allows;  // false: not through this interface
    std::function<boost::asio::awaitable<void>(IncomingRequest)> on_link, on_files;
  };

  // `deadline`: from connection to admission.
  PeerAcceptor(EventLoop& loop, std::shared_ptr<boost::asio::ssl::context> tls, Duration deadline,
               Handlers handlers);
  ~PeerAcceptor();

  // Listens on all addresses, IPv6 and IPv4. port 0: any. kUnavailable: the port is taken.
  Status listen(uint16_t port);
  uint16_t port() const;
  void stop();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Lets through at most `burst` log lines per `period`; tells how many were held back.
class LogLimiter {
 public:
  LogLimiter(int burst, Duration period) : burst_(burst), period_(period) {}
  bool allow(TimePoint now);
  int held_back() const { return held_back_; }  // before the line that was just allowed

 private:
  const int burst_;
  const Duration period_;
  TimePoint period_start_{};
  int used_ = 0, dropped_ = 0, held_back_ = 0;
};

}  // namespace exo::net
