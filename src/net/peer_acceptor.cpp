#include "net/peer_acceptor.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include "base/log.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;

namespace {

constexpr uint32_t kMaxRequestHeadBytes = 8 << 10;
constexpr Duration kAcceptPause = std::chrono::milliseconds(100);  // when the system is out of descriptors

// What a failed TLS handshake most likely means, for the log.
std::string describe(const boost::system::error_code& error, bool expired) {
  if (expired) return "it did not finish its handshake in time";
  const std::string text = error.message();
  if (text.find("http request") != std::string::npos)
    return "plain HTTP: this is the peer port, the API has another";
  return text;
}

}  // namespace

bool LogLimiter::allow(TimePoint now) {
  if (now - period_start_ > period_) {
    held_back_ = dropped_;
    period_start_ = now;
    used_ = dropped_ = 0;
  } else {
    held_back_ = 0;
  }
  if (used_ < burst_) {
    ++used_;
    return true;
  }
  ++dropped_;
  return false;
}

struct PeerAcceptor::Impl : std::enable_shared_from_this<PeerAcceptor::Impl> {
  EventLoop& loop;
  std::shared_ptr<asio::ssl::context> tls;
  const Duration deadline;
  Handlers handlers;
  tcp::acceptor acceptor;
  size_t strangers = 0;
  std::map<std::string, size_t> strangers_by_address;
  LogLimiter log_limit{10, std::chrono::seconds(10)};
  bool stopped = false;

  Impl(EventLoop& l, std::shared_ptr<asio::ssl::context> t, Duration d, Handlers h)
      : loop(l), tls(std::move(t)), deadline(d), handlers(std::move(h)), acceptor(l.context()) {}

  void log_stranger(const std::string& address, const std::string& what) {
    if (!log_limit.allow(loop.now())) return;
    log_info("net", "connection from {} closed: {}", address, what);
    if (log_limit.held_back() > 0) log_info("net", "{} such lines were left out", log_limit.held_back());
  }

  StrangerPlace take_place(const std::string& address) {
    size_t& here = strangers_by_address[address];
    if (strangers >= kMaxStrangers || here >= kMaxStrangersPerAddress) return nullptr;
    ++strangers;
    ++here;
    return StrangerPlace(this, [self = shared_from_this(), address](void*) {
      --self->strangers;
      const auto entry = self->strangers_by_address.find(address);
      if (entry != self->strangers_by_address.end() && --entry->second == 0)
        self->strangers_by_address.erase(entry);
    });
  }

  Status open(const tcp& protocol, uint16_t port) {
    boost::system::error_code error;
    acceptor.open(protocol, error);
    if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error && protocol == tcp::v6()) acceptor.set_option(asio::ip::v6_only(false), error);
    if (!error) acceptor.bind(tcp::endpoint(protocol, port), error);
    if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
    if (!error) return {};
    boost::system::error_code ignored;
    acceptor.close(ignored);
    return fail(ErrorCode::kUnavailable, "peer port {}: {}", port, error.message());
  }

  asio::awaitable<void> accept_loop() {
    const auto self = shared_from_this();
    while (!stopped) {
      boost::system::error_code error;
      tcp::socket socket(loop.context());
      co_await acceptor.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (stopped || error == asio::error::operation_aborted) co_return;
      if (error) {
        log_stranger("?", "accept: " + error.message());
        asio::steady_timer pause(loop.context(), kAcceptPause);
        co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      begin(std::move(socket));
    }
  }

  void begin(tcp::socket socket) {
    boost::system::error_code error;
    const auto remote = socket.remote_endpoint(error);
    if (error) return;
    const auto local = socket.local_endpoint(error);
    if (error || !handlers.allows(to_text(local.address()))) return;
    StrangerPlace place = take_place(to_text(remote.address()));
    if (!place) {
      log_stranger(to_text(remote), "too many connections that are not yet admitted");
      return;
    }
    tune_socket(socket);
    asio::co_spawn(loop.context(), welcome(std::move(socket), remote, local, std::move(place)), asio::detached);
  }

  asio::awaitable<void> welcome(tcp::socket socket, tcp::endpoint remote, tcp::endpoint local,
                                StrangerPlace place) {
    const auto self = shared_from_this();
    IncomingRequest incoming;
    std::string problem;
    try {
      incoming.channel = make_channel(std::move(socket), *tls);
      incoming.remote = remote;
      incoming.local = local;
      incoming.place = std::move(place);
      incoming.deadline = std::make_unique<SocketDeadline>(socket_of(*incoming.channel), deadline);
      TlsStream& stream = incoming.channel->next_layer();
      co_await stream.async_handshake(asio::ssl::stream_base::server, asio::use_awaitable);
      beast::http::request_parser<beast::http::empty_body> parser;
      parser.header_limit(kMaxRequestHeadBytes);
      co_await beast::http::async_read_header(stream, incoming.rest, parser, asio::use_awaitable);
      incoming.request = parser.release();
    } catch (const boost::system::system_error& error) {
      problem = describe(error.code(), incoming.deadline && incoming.deadline->expired());
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (stopped) co_return;
    if (!problem.empty()) {
      log_stranger(to_text(remote), problem);
      co_return;
    }
    const bool link = beast::websocket::is_upgrade(incoming.request);
    try {
      // Not one conditional expression: g++ 12 destroys its operands twice.
      auto handling = link ? handlers.on_link(std::move(incoming)) : handlers.on_files(std::move(incoming));
      co_await std::move(handling);
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (!problem.empty() && !stopped) log_stranger(to_text(remote), problem);
  }
};

PeerAcceptor::PeerAcceptor(EventLoop& loop, std::shared_ptr<asio::ssl::context> tls, Duration deadline,
                           Handlers handlers)
    : impl_(std::make_shared<Impl>(loop, std::move(tls), deadline, std::move(handlers))) {}

PeerAcceptor::~PeerAcceptor() { stop(); }

Status PeerAcceptor::listen(uint16_t port) {
  Status opened = impl_->open(tcp::v6(), port);
  if (!opened) opened = impl_->open(tcp::v4(), port);  // a system without IPv6
  EXO_CHECK_OK(opened);
  asio::co_spawn(
      impl_->loop.context(), [impl = impl_] { return impl->accept_loop(); }, asio::detached);
  return {};
}

uint16_t PeerAcceptor::port() const {
  boost::system::error_code error;
  const auto endpoint = impl_->acceptor.local_endpoint(error);
  return error ? 0 : endpoint.port();
}

void PeerAcceptor::stop() {
  impl_->stopped = true;
  boost::system::error_code ignored;
  impl_->acceptor.close(ignored);
}

}  // namespace exo::net
