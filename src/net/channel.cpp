#include "net/channel.h"

#include <netinet/tcp.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <charconv>

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;
using asio::ip::tcp;

std::unique_ptr<WebSocket> make_channel(tcp::socket socket, asio::ssl::context& tls) {
  auto channel = std::make_unique<WebSocket>(std::move(socket), tls);
  channel->binary(true);
  channel->auto_fragment(false);
  channel->write_buffer_bytes(64 << 10);
  channel->read_message_max(kMaxHelloBytes);
  channel->secure_prng(false);  // masks protect plaintext proxies, of which there are none inside TLS
  return channel;
}

tcp::socket& socket_of(WebSocket& channel) { return beast::get_lowest_layer(channel); }

std::string link_session(const Digest& channel_key) {
  const Digest digest = hmac_sha256(channel_key, "exo link session v1");
  return to_hex(std::span(digest).first(16));
}

std::string to_text(asio::ip::address address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped()) {
    address = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  }
  return address.to_string();
}

std::string to_text(const tcp::endpoint& endpoint) {
  const std::string address = to_text(endpoint.address());
  const bool brackets = address.find(':') != std::string::npos;
  return brackets ? fmt::format("[{}]:{}", address, endpoint.port())
                  : fmt::format("{}:{}", address, endpoint.port());
}

tcp::endpoint to_endpoint(const std::string& text) {
  boost::system::error_code error;
  const auto address = asio::ip::make_address(ip_text(text), error);
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const size_t colon = text.rfind(':');
  const bool whole =
      !error && colon != std::string::npos && std::from_chars(text.data() + colon + 1, end, port).ptr == end;
  return {whole ? address : asio::ip::address(), whole ? port : uint16_t{0}};
}

tcp::endpoint answering_endpoint(WebSocket& channel, uint16_t announced_port) {
  boost::system::error_code error;
  const auto remote = socket_of(channel).remote_endpoint(error);
  if (error) return {};
  const auto plain = to_endpoint(to_text(remote));  // IPv4 as IPv4
  const bool was_dialled = SSL_is_server(channel.next_layer().native_handle()) == 0;
  return {plain.address(), was_dialled ? remote.port() : announced_port};
}

std::string ip_text(const std::string& endpoint) {
  if (endpoint.starts_with('[')) return endpoint.substr(1, endpoint.find(']') - 1);
  return endpoint.substr(0, endpoint.rfind(':'));
}

void tune_socket(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
#ifdef TCP_USER_TIMEOUT
  constexpr int kUnacknowledgedMs = 10'000;
  const int value = kUnacknowledgedMs;
  ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_USER_TIMEOUT, &value, sizeof value);
#endif
}

SocketDeadline::SocketDeadline(tcp::socket& socket, Duration after)
    : socket_(socket), timer_(socket.get_executor()), deadline_(after) {
  wait();
}

SocketDeadline::~SocketDeadline() = default;

void SocketDeadline::extend(Duration after) { deadline_ = RunningDeadline(after); }

// An extension is noticed by the wait under way.
void SocketDeadline::wait() {
  timer_.expires_after(std::min(deadline_.rest(), kPulse));
  timer_.async_wait([this, expired = std::weak_ptr<bool>(expired_)](const boost::system::error_code& error) {
    const auto alive = expired.lock();
    if (error || !alive) return;
    if (!deadline_.passed()) return wait();
    *alive = true;
    boost::system::error_code ignored;
    socket_.close(ignored);
  });
}

namespace {

asio::const_buffer buffer_of(const std::vector<std::byte>& bytes) { return {bytes.data(), bytes.size()}; }

std::span<const std::byte> bytes_of(const beast::flat_buffer& buffer) {
  return {static_cast<const std::byte*>(buffer.data().data()), buffer.size()};
}

[[noreturn]] void throw_protocol_error() {
  throw boost::system::system_error(make_error_code(boost::system::errc::protocol_error));
}

}  // namespace

asio::awaitable<Greeting> greet(WebSocket& channel, const LocalNode& local,
                                std::function<bool(const NodeId&)> on_identity, const char* target) {
  TlsStream& tls = channel.next_layer();
  co_await tls.async_handshake(asio::ssl::stream_base::client, use_awaitable);
  const auto peer = tls_peer(tls);
  const auto channel_key = tls_channel_key(tls);
  if (!peer || !channel_key) throw_protocol_error();
  Greeting greeting;
  greeting.peer.id = *peer;
  if (*peer == local.self.id) {
    greeting.verdict = Verdict::kSameNode;
    co_return greeting;
  }
  if (!on_identity(*peer)) {
    greeting.verdict = Verdict::kDuplicate;
    co_return greeting;
  }
  co_await channel.async_handshake("exo", target, use_awaitable);
  Introduction self = local.self;
  self.proof = local.key.proof(ProofRole::kLinkDialer, *channel_key, self.id, *peer);
  const auto hello = encode_hello(self);
  co_await channel.async_write(buffer_of(hello), use_awaitable);
  beast::flat_buffer buffer;
  co_await channel.async_read(buffer, use_awaitable);
  const auto reply = decode_reply(bytes_of(buffer));
  if (!reply) throw_protocol_error();
  greeting.peer = reply->self;
  greeting.verdict = reply->verdict;
  if (reply->verdict == Verdict::kAdmitted) {
    greeting.verdict = judge_acceptor(reply->self, *peer, local.self, local.key, *channel_key);
  }
  greeting.peer.id = *peer;
  co_return greeting;
}

asio::awaitable<Greeting> receive_greeting(WebSocket& channel, const HttpRequest& upgrade, const LocalNode& local,
                                           std::function<Verdict(const Introduction&)> last_word) {
  TlsStream& tls = channel.next_layer();
  const auto peer = tls_peer(tls);
  const auto channel_key = tls_channel_key(tls);
  if (!peer || !channel_key) throw_protocol_error();
  co_await channel.async_accept(upgrade, use_awaitable);
  beast::flat_buffer buffer;
  co_await channel.async_read(buffer, use_awaitable);
  const auto hello = decode_hello(bytes_of(buffer));
  if (!hello) throw_protocol_error();
  Greeting greeting;
  greeting.peer = *hello;
  greeting.verdict = judge(*hello, *peer, local.self, local.key, *channel_key);
  if (greeting.verdict == Verdict::kAdmitted) greeting.verdict = last_word(*hello);
  greeting.peer.id = *peer;
  HelloReply reply{greeting.verdict, local.self};
  if (greeting.verdict == Verdict::kAdmitted) {
    reply.self.proof = local.key.proof(ProofRole::kLinkAcceptor, *channel_key, *peer, local.self.id);
  }
  const auto frame = encode_reply(reply);
  co_await channel.async_write(buffer_of(frame), use_awaitable);
  co_return greeting;
}

}  // namespace exo::net
