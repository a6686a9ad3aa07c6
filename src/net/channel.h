#pragma once
// A connection between two nodes from the first byte to the end of the handshake. Includes Boost: for .cpp files of
// net/ only. Coroutines here throw boost::system::system_error when the connection breaks; their callers catch it.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "net/clock.h"
#include "net/hello.h"
#include "net/running_time.h"
#include "net/tls.h"

namespace exo::net {

using WebSocket = boost::beast::websocket::stream<TlsStream>;
using HttpRequest = boost::beast::http::request<boost::beast::http::empty_body>;

inline constexpr const char* kLinkTarget = "/link";
inline constexpr const char* kPathPrefix = "/link/path/";  // and a session: a further connection for that link
inline constexpr Duration kConnectDeadline = std::chrono::milliseconds(1500);

std::unique_ptr<WebSocket> make_channel(boost::asio::ip::tcp::socket socket, boost::asio::ssl::context& tls);
boost::asio::ip::tcp::socket& socket_of(WebSocket& channel);
// Names one link among all that two nodes ever have, by the channel that it began on; only its two ends know it.
std::string link_session(const Digest& channel_key);
// "192.168.1.7:52416", "[fe80::1%2]:52416"; IPv4 in IPv6 shown as IPv4.
std::string to_text(const boost::asio::ip::tcp::endpoint& endpoint);
std::string to_text(boost::asio::ip::address address);
// The reverse; of anything else an endpoint with port 0, which nobody answers at.
boost::asio::ip::tcp::endpoint to_endpoint(const std::string& text);
// Where the peer answers on the way that this connection takes: where it was dialled, or, when the peer dialled,
// its address with the port that it announced.
boost::asio::ip::tcp::endpoint answering_endpoint(WebSocket& channel, uint16_t announced_port);
// "192.168.1.7" of "192.168.1.7:52416", "fe80::1%2" of "[fe80::1%2]:52416".
std::string ip_text(const std::string& endpoint);
// No delay for small messages; a dead peer is noticed by the system even when nobody else looks.
void tune_socket(boost::asio::ip::tcp::socket& socket);

// Closes a socket when time is up, in which this device ran; that ends whatever waits for it.
class SocketDeadline {
 public:
  SocketDeadline(boost::asio::ip::tcp::socket& socket, Duration after);
  ~SocketDeadline();
  void extend(Duration after);
  bool expired() const { return *expired_; }

 private:
  void wait();
  boost::asio::ip::tcp::socket& socket_;
  boost::asio::steady_timer timer_;
  RunningDeadline deadline_;
  std::shared_ptr<bool> expired_ = std::make_shared<bool>(false);
};

// What a node brings to every handshake.
struct LocalNode {
  Introduction self;  // without proof
  ClusterKey key;
};

struct Greeting {
  Verdict verdict = Verdict::kMalformed;
  Introduction peer;
};

// The dialer's side, on a connected socket: TLS, WebSocket, Hello, answer. `on_identity` hears who TLS proved the
// other end to be, before anything is said to it; false ends the handshake with kDuplicate.
boost::asio::awaitable<Greeting> greet(WebSocket& channel, const LocalNode& local,
                                       std::function<bool(const NodeId&)> on_identity,
                                       const char* target = kLinkTarget);

// The acceptor's side, after TLS and the upgrade request: Hello, judgement, answer. `last_word` may turn an
// admission into kDuplicate or kBusy.
boost::asio::awaitable<Greeting> receive_greeting(WebSocket& channel, const HttpRequest& upgrade,
                                                  const LocalNode& local,
                                                  std::function<Verdict(const Introduction&)> last_word);

}  // namespace exo::net
