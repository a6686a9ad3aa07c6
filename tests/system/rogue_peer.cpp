// A peer that is admitted to a cluster and then speaks the protocol badly: mutated and invented messages, wrong
// orders, huge fields, steps for slots that do not exist, hostile gossip, bad file requests. The node that it talks
// to must refuse or ignore all of it. The seed is printed; the same seed makes the same choices.
//
//   exo_rogue_peer HOST PORT SECONDS SEED [SECRET]
//
// It ends with 0 and one line of counts when the node still admits it at the end, else with 1.

#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <iostream>
#include <thread>

#include "net/channel.h"
#include "net/file_connection.h"
#include "rogue_messages.h"

namespace exo::rogue {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::use_awaitable;
using std::chrono::milliseconds;
using std::chrono::seconds;

struct Options {
  std::string host;
  uint16_t port = 0;
  int seconds = 20;
  uint64_t seed = 1;
  std::string secret;
};

class RoguePeer {
 public:
  explicit RoguePeer(const Options& options)
      : options_(options),
        inventor_(options.seed, heard_),
        key_(net::ClusterKey::from_secret(options.secret)),
        end_(std::chrono::steady_clock::now() + seconds(options.seconds)) {}

  int run() {
    while (std::chrono::steady_clock::now() < end_) {
      if (identity_ == nullptr || inventor_.once_in(3)) renew_identity();
      session();
      if (inventor_.once_in(5)) ask_for_files();
      if (inventor_.once_in(10)) raw_request();
    }
    const bool alive = admitted_at_the_end();
    fmt::print("seed {}: {} sessions, {} admitted, {} messages said, {} heard, {} file requests; the node {}\n",
               options_.seed, sessions_, admitted_, said_, messages_heard_, file_requests_,
               alive ? "still admits" : "does not admit any more");
    return alive ? 0 : 1;
  }

 private:
  void renew_identity() {
    identity_ = std::make_unique<net::Identity>(net::Identity::generate().value());
    tls_ = net::make_tls_context(*identity_).value();
    local_ = std::make_shared<net::LocalNode>();
    local_->self.id = identity_->id();
    local_->self.incarnation = ++incarnation_;
    local_->self.peer_port = 1;
    local_->self.has_secret = key_.has_secret();
    local_->self.name = "rogue";
    local_->self.software_version = heard_.software_version;
    local_->key = key_;
  }

  std::unique_ptr<net::WebSocket> connect(asio::io_context& context) const {
    asio::ip::tcp::socket socket(context);
    socket.connect({asio::ip::make_address(options_.host), options_.port});
    return net::make_channel(std::move(socket), *tls_);
  }

  // One link: greeted, abused, closed, at most some seconds long.
  void session() {
    ++sessions_;
    asio::io_context context;
    context_ = &context;
    try {
      channel_ = connect(context);
      net::SocketDeadline deadline(net::socket_of(*channel_), seconds(4));
      asio::co_spawn(context, talk(), asio::detached);
      context.run_for(seconds(6));
    } catch (const boost::system::system_error&) {
      pause(milliseconds(50));  // too many connections: the node bounds them
    }
    channel_.reset();
    context_ = nullptr;
  }

  asio::awaitable<void> talk() {
    try {
      const net::Greeting greeting = co_await net::greet(*channel_, *local_, [](const NodeId&) { return true; });
      if (greeting.verdict == net::Verdict::kVersionDiffers)
        heard_.software_version = greeting.peer.software_version;
      if (greeting.verdict != net::Verdict::kAdmitted) {
        identity_.reset();
        co_return close();
      }
      ++admitted_;
      peer_ = greeting.peer.id;
      channel_->read_message_max(wire::kMaxFrameBytes);
      asio::co_spawn(channel_->get_executor(), listen(), asio::detached);
      if (heard_.instances.empty()) co_await sleep(milliseconds(300));
      for (uint64_t n = 1 + inventor_.below(200); n > 0; --n) {
        const auto frame = inventor_.frame();
        co_await channel_->async_write(asio::buffer(frame.data(), frame.size()), use_awaitable);
        ++said_;
        if (inventor_.once_in(50)) co_await sleep(milliseconds(inventor_.below(30)));
      }
      co_await sleep(milliseconds(20));
    } catch (const boost::system::system_error&) {  // refused, as it should be
    }
    close();
  }

  asio::awaitable<void> listen() {
    try {
      for (beast::flat_buffer buffer;;) {
        co_await channel_->async_read(buffer, use_awaitable);
        ++messages_heard_;
        const auto message = wire::decode({static_cast<const std::byte*>(buffer.data().data()), buffer.size()});
        if (message) heard_.take(*message);
        buffer.clear();
      }
    } catch (const boost::system::system_error&) {
    }
    close();
  }

  asio::awaitable<void> sleep(milliseconds time) {
    asio::steady_timer timer(channel_->get_executor(), time);
    co_await timer.async_wait(use_awaitable);
  }
  // Ends the session: its deadline is not waited for.
  void close() {
    boost::system::error_code ignored;
    net::socket_of(*channel_).close(ignored);
    if (context_ != nullptr) context_->stop();
  }
  static void pause(milliseconds time) { std::this_thread::sleep_for(time); }

  void ask_for_files() {
    if (local_ == nullptr || identity_ == nullptr) return;
    const auto files = net::make_file_connection(tls_, local_, peer_, {{options_.host, options_.port}});
    for (uint64_t n = 1 + inventor_.below(6); n > 0; --n) {
      ++file_requests_;
      const auto layout = files->layout(inventor_.fingerprint());
      (void)files->piece_hashes(inventor_.fingerprint(), inventor_.below(40), 1 + inventor_.below(16));
      (void)files->piece_hashes(inventor_.fingerprint(), inventor_.wide(), inventor_.wide());
      (void)files->manifest(inventor_.fingerprint(), inventor_.once_in(2) ? 0 : inventor_.wide(), inventor_.wide());
      (void)files->read(inventor_.fingerprint(), inventor_.wide(), inventor_.wide());
      if (layout)
        (void)files->read(inventor_.fingerprint(), inventor_.below(layout->total_bytes() + 10),
                          inventor_.below(1 << 20));
    }
  }

  // HTTP that the file server must not believe.
  void raw_request() {
    asio::io_context context;
    context_ = &context;
    try {
      channel_ = connect(context);
      net::SocketDeadline deadline(net::socket_of(*channel_), seconds(2));
      asio::co_spawn(context, ask_badly(), asio::detached);
      context.run_for(seconds(3));
    } catch (const boost::system::system_error&) {
    }
    channel_.reset();
    context_ = nullptr;
  }

  asio::awaitable<void> ask_badly() {
    constexpr std::string_view kTargets[] = {"/models/../../identity.pem", "/models/", "/models/%00", "/link", "*"};
    constexpr std::string_view kRanges[] = {"bytes=5-1",
                                            "bytes=-",
                                            "bytes=0-18446744073709551615",
                                            "bytes=x-y",
                                            "0-1",
                                            "bytes=18446744073709551615-",
                                            "pieces=0-18446744073709551615",
                                            "pieces=18446744073709551614-18446744073709551615",
                                            "pieces=0-17",
                                            "bytes=18446744073709551614-18446744073709551615"};
    constexpr std::string_view kKinds[] = {"", "/layout", "/pieces", "/manifest", "/pieces/manifest", "/"};
    ++file_requests_;
    const std::string target(kTargets[inventor_.below(std::size(kTargets))]);
    const std::string request = fmt::format(
        "GET {} HTTP/1.1\r\nHost: exo\r\nRange: {}\r\nX-Exo-Version: {} {}\r\nContent-Length: {}\r\n\r\n",
        inventor_.once_in(4)
            ? target
            : fmt::format("/models/{}{}", inventor_.fingerprint(), kKinds[inventor_.below(std::size(kKinds))]),
        kRanges[inventor_.below(std::size(kRanges))], wire::kProtocolVersion, heard_.software_version,
        inventor_.wide());
    try {
      net::TlsStream& stream = channel_->next_layer();
      co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
      co_await asio::async_write(stream, asio::buffer(request), use_awaitable);
      std::array<char, 4096> answer;
      co_await stream.async_read_some(asio::buffer(answer), use_awaitable);
    } catch (const boost::system::system_error&) {
    }
    close();
  }

  bool admitted_at_the_end() {
    for (int attempt = 0; attempt < 50; ++attempt) {
      const uint64_t before = admitted_;
      renew_identity();
      session();
      if (admitted_ > before) return true;
      pause(milliseconds(200));
    }
    return false;
  }

  const Options options_;
  Heard heard_;
  Inventor inventor_;
  const net::ClusterKey key_;
  const std::chrono::steady_clock::time_point end_;
  std::unique_ptr<net::Identity> identity_;
  std::shared_ptr<asio::ssl::context> tls_;
  std::shared_ptr<net::LocalNode> local_;
  std::unique_ptr<net::WebSocket> channel_;
  asio::io_context* context_ = nullptr;  // of the session
  NodeId peer_;
  uint64_t incarnation_ = 0, sessions_ = 0, admitted_ = 0, said_ = 0, messages_heard_ = 0, file_requests_ = 0;
};

int run(int argc, char** argv) {
  if (argc < 5) {
    std::cerr << "exo_rogue_peer HOST PORT SECONDS SEED [SECRET]\n";
    return 2;
  }
  Options options{argv[1], static_cast<uint16_t>(std::stoi(argv[2])), std::stoi(argv[3]), std::stoull(argv[4]),
                  argc > 5 ? argv[5] : ""};
  fmt::print("seed {}\n", options.seed);
  std::fflush(stdout);
  return RoguePeer(options).run();
}

}  // namespace
}  // namespace exo::rogue

int main(int argc, char** argv) { return exo::rogue::run(argc, argv); }
