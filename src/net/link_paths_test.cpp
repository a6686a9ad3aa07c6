// A link outlives its connection: what was under way arrives once and in order, and nobody above hears of it.

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <list>
#include <thread>

#include "net/channel.h"
#include "net/link_text.h"
#include "net/test_listener.h"
#include "net/test_node.h"
#include "wire/codec.h"

namespace exo::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using namespace std::chrono_literals;

// Joins connections to its port to another port of this machine, until they are cut.
class Relay {
 public:
  explicit Relay(uint16_t to) : to_(to) {}
  ~Relay() {
    listener_.stop();
    cut();
    for (auto& pump : pumps_) pump.join();
    sockets_.clear();  // before the listener, whose they are
  }
  std::string address() const { return listener_.address(); }
  int connections() const { return connections_; }  // so far
  // Both ends see their connections reset or ended, with whatever is under way lost.
  void cut() {
    const std::lock_guard lock(mutex_);
    for (auto& socket : sockets_) {
      boost::system::error_code ignored;
      socket.set_option(asio::socket_base::linger(true, 0), ignored);
      socket.shutdown(tcp::socket::shutdown_both, ignored);
    }
  }

 private:
  void join(tcp::socket in) {
    ++connections_;
    tcp::socket out(listener_.context());
    boost::system::error_code error;
    out.connect({asio::ip::address_v4::loopback(), to_}, error);
    if (error) return;
    const std::lock_guard lock(mutex_);
    auto& a = sockets_.emplace_back(std::move(in));
    auto& b = sockets_.emplace_back(std::move(out));
    pumps_.emplace_back([&a, &b] { pump(a, b); });
    pumps_.emplace_back([&a, &b] { pump(b, a); });
  }
  static void pump(tcp::socket& from, tcp::socket& to) {
    std::vector<char> bytes(64 << 10);
    boost::system::error_code error;
    while (!error) {
      const size_t n = from.read_some(asio::buffer(bytes), error);
      if (!error) asio::write(to, asio::buffer(bytes.data(), n), error);
    }
    to.shutdown(tcp::socket::shutdown_both, error);
  }

  const uint16_t to_;
  std::atomic<int> connections_ = 0;
  std::mutex mutex_;
  std::list<tcp::socket> sockets_;
  std::vector<std::thread> pumps_;
  TestListener listener_{[this](tcp::socket in) { join(std::move(in)); }};
};

std::vector<uint64_t> nonces(TestNode& node) {
  const std::lock_guard lock(node.mutex);
  std::vector<uint64_t> all;
  for (const auto& [from, message] : node.messages) all.push_back(std::get<wire::Ping>(message).nonce);
  return all;
}

TEST(LinkPaths, ABrokenConnectionIsMendedWithoutLosingRepeatingOrReorderingAMessage) {
  for (const int cut_after : {1, 40, 300}) {
    SCOPED_TRACE(cut_after);
    TestNode b("b");
    Relay relay(b.network.peer_port());
    TestNode a("a", [&](NetworkOptions& o) { o.seeds = {relay.address()}; });
    ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
    EXPECT_EQ(a.links()[0].remote_address, relay.address());
    const std::string first_connection = a.links()[0].local_address;
    constexpr uint64_t kCount = 600;
    for (uint64_t i = 1; i <= kCount; ++i) {
      if (i == static_cast<uint64_t>(cut_after)) relay.cut();
      const uint32_t padding = i % 7 == 0 ? 200'000 : 0;
      ASSERT_TRUE(a.send(b.id(), wire::Ping{i, padding})) << i;
      ASSERT_TRUE(b.send(a.id(), wire::Ping{i, padding})) << i;
    }
    for (TestNode* node : {&a, &b}) {
      ASSERT_TRUE(node->wait([&] { return node->messages.size() >= kCount; }));
      const auto all = nonces(*node);
      ASSERT_EQ(all.size(), kCount);
      for (uint64_t i = 0; i < kCount; ++i) ASSERT_EQ(all[i], i + 1);
      EXPECT_EQ(node->ups, 1u);
      EXPECT_TRUE(node->downs.empty());
    }
    EXPECT_NE(a.links()[0].local_address, first_connection);
  }
}

// As behind a router that forwards a port, or with several nodes on one machine.
TEST(LinkPaths, TwoPortsOfOneMachineAreTwoPaths) {
  TestNode b("b");
  Relay relay(b.network.peer_port());
  TestNode a("a", [&](NetworkOptions& o) { o.seeds = {relay.address()}; });
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  std::vector<LinkPath> paths;
  std::string present;
  const auto measured = [&] {
    paths = a.ask([&] {
      present = a.network.links()[0].remote_address;
      return a.network.link_paths();
    });
    return paths.size() == 2 && paths[0].round_trip_us > 0 && paths[1].round_trip_us > 0;
  };
  for (int i = 0; i < 1000 && !measured(); ++i) std::this_thread::sleep_for(10ms);
  ASSERT_TRUE(measured());
  for (const auto& path : paths) {
    EXPECT_TRUE(path.remote_address == relay.address() || path.remote_address == b.address())
        << path.remote_address;
    EXPECT_EQ(path.in_use, path.remote_address == present);
  }
}

TEST(LinkPaths, FilesGoTheWayThatTheLinkGoes) {
  TestNode b("b");
  Relay relay(b.network.peer_port());
  TestNode a("a", [&](NetworkOptions& o) { o.seeds = {relay.address()}; });
  ASSERT_TRUE(a.wait_for_links(1) && b.wait_for_links(1));
  const int before = relay.connections();
  const auto connection = a.network.connect_files(b.id());
  ASSERT_TRUE(connection);
  EXPECT_EQ((*connection)->layout(std::string(64, 'a')).error().code, ErrorCode::kNotFound) << "b answered";
  EXPECT_EQ(relay.connections(), before + 1);
}

// ---- peers that do as they like

// A peer by hand: what it says on a link and on paths is up to the test.
class ByHand : public testing::Test {
 protected:
  struct Answer {
    std::unique_ptr<WebSocket> channel;
    Verdict verdict;
  };
  Answer dial(const std::string& target, uint64_t incarnation = 1) {
    const auto tls = make_tls_context(identity).value();
    tcp::socket socket(context);
    socket.connect({asio::ip::address_v4::loopback(), node.network.peer_port()});
    auto channel = make_channel(std::move(socket), *tls);
    channel->next_layer().handshake(asio::ssl::stream_base::client);
    channel->handshake("exo", target);
    Introduction self;
    self.id = identity.id();
    self.incarnation = incarnation;
    self.peer_port = 1;  // nobody listens there
    self.name = "by hand";
    self.software_version = "0.1.0";
    const auto hello = encode_hello(self);
    channel->write(asio::buffer(hello));
    beast::flat_buffer buffer;
    channel->read(buffer);
    const std::span reply(static_cast<const std::byte*>(buffer.data().data()), buffer.size());
    const Verdict verdict = decode_reply(reply).value().verdict;
    channel->read_message_max(1 << 20);
    return {std::move(channel), verdict};
  }
  // The link, and the session under which paths are dialled.
  std::unique_ptr<WebSocket> link() {
    auto [channel, verdict] = dial(kLinkTarget);
    EXPECT_EQ(verdict, Verdict::kAdmitted);
    EXPECT_TRUE(node.wait_for_links(1));
    path = kPathPrefix + link_session(tls_channel_key(channel->next_layer()).value());
    return std::move(channel);
  }
  static void say(WebSocket& channel, const std::string& text) {
    channel.text(true);
    channel.write(asio::buffer(text));
  }
  static std::string hear(WebSocket& channel) {
    beast::flat_buffer buffer;
    channel.read(buffer);
    return beast::buffers_to_string(buffer.data());
  }
  static uint64_t hear_nonce(WebSocket& channel) {
    const std::string frame = hear(channel);
    const auto message = wire::decode(std::as_bytes(std::span(frame)).subspan(sizeof(CountBytes)));
    return std::get<wire::Ping>(message.value()).nonce;
  }
  bool send(uint64_t nonce, uint32_t padding = 0) { return node.send(identity.id(), wire::Ping{nonce, padding}); }

  TestNode node{"node", [](NetworkOptions& o) { o.send_queue_bytes = 1 << 20; }};
  asio::io_context context;
  Identity identity = Identity::generate().value();
  std::string path;
};

TEST_F(ByHand, APathIsForTheVeryLinkThatTheTwoHave) {
  const auto first = link();
  EXPECT_EQ(dial(kPathPrefix + std::string(32, '0')).verdict, Verdict::kNoLink) << "another session";
  EXPECT_EQ(dial(path, 2).verdict, Verdict::kNoLink) << "another run";
  const auto own = std::exchange(identity, Identity::generate().value());
  EXPECT_EQ(dial(path).verdict, Verdict::kNoLink) << "another node that knows the session";
  identity = own;
  auto [channel, verdict] = dial(path);
  ASSERT_EQ(verdict, Verdict::kAdmitted);
  say(*channel, "echo 5");
  EXPECT_EQ(hear(*channel), "echo 5");

  first->close(beast::websocket::close_code::going_away);
  ASSERT_TRUE(node.wait_for_links(0));
  EXPECT_EQ(dial(path).verdict, Verdict::kNoLink) << "the link is over";
  const auto second = link();
  say(*channel, "move 0");
  EXPECT_EQ(hear(*channel), "no 0") << "a path of the link before";
}

TEST_F(ByHand, AMoveSendsAgainWhatIsSaidNotToHaveComeAndLooksAtTheOldConnectionNoMore) {
  const auto old = link();
  for (uint64_t i = 1; i <= 20; ++i) ASSERT_TRUE(send(i));
  for (uint64_t i = 1; i <= 20; ++i) EXPECT_EQ(hear_nonce(*old), i);
  auto [channel, verdict] = dial(path);
  ASSERT_EQ(verdict, Verdict::kAdmitted);
  say(*channel, "move 12");
  EXPECT_EQ(hear(*channel), "move 0");
  for (uint64_t i = 13; i <= 20; ++i) EXPECT_EQ(hear_nonce(*channel), i);
  ASSERT_TRUE(send(21));
  EXPECT_EQ(hear_nonce(*channel), 21u);
  beast::flat_buffer nothing;
  boost::system::error_code error;
  old->read(nothing, error);
  EXPECT_TRUE(error.failed()) << "the old connection is closed";
  EXPECT_EQ(node.ups, 1u);
  EXPECT_TRUE(node.downs.empty());
}

TEST_F(ByHand, CountsThatCannotBeAreRefused) {
  const auto first = link();
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(send(i));
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(hear_nonce(*first), i);
  say(*first, "ack 2");
  for (const char* text : {"move 1", "move 4", "move 18446744073709551615"}) {
    auto [channel, verdict] = dial(path);
    ASSERT_EQ(verdict, Verdict::kAdmitted);
    std::this_thread::sleep_for(50ms);  // the acknowledgement has come
    say(*channel, text);
    EXPECT_EQ(hear(*channel), "no 0") << text;
  }
  ASSERT_TRUE(send(4));
  EXPECT_EQ(hear_nonce(*first), 4u) << "the link is as before";
  say(*first, "ack 5");
  EXPECT_TRUE(node.wait_for_links(0)) << "more than was sent";
}

TEST_F(ByHand, AFrameAcknowledgesThoseThatCameBeforeIt) {
  const auto first = link();
  const auto say_ping = [&](uint64_t received) {
    const auto count = count_bytes(received);
    const auto frame = wire::encode(wire::Ping{7}).value();
    first->binary(true);
    first->write(std::array{asio::buffer(count), asio::buffer(frame)});
  };
  for (uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(send(i));
  for (uint64_t i = 1; i <= 3; ++i) EXPECT_EQ(hear_nonce(*first), i);
  say_ping(2);
  ASSERT_TRUE(node.wait([&] { return node.messages.size() == 1; }));
  auto [channel, verdict] = dial(path);
  say(*channel, "move 1");
  EXPECT_EQ(hear(*channel), "no 0") << "forgotten";
  ASSERT_TRUE(send(4));
  const std::string frame = hear(*first);
  EXPECT_EQ(read_count(std::as_bytes(std::span(frame)).first<sizeof(CountBytes)>()), 1u) << "it has the ping";
  say_ping(5);
  EXPECT_TRUE(node.wait_for_links(0)) << "more than was sent";
  EXPECT_EQ(node.messages.size(), 1u);
}

TEST_F(ByHand, APeerThatReadsAndNeverAcknowledgesIsLetGoAtTheBound) {
  const auto first = link();
  uint64_t sent = 0;
  while (sent < 100'000 && send(sent + 1)) {
    ++sent;
    ASSERT_EQ(hear_nonce(*first), sent);
  }
  EXPECT_GT(sent, 1000u);
  EXPECT_LT(sent, (1u << 20) / 128) << "what surrounds a small frame counts";
  ASSERT_TRUE(node.wait_for_links(0));
}

TEST_F(ByHand, ADeathIsNoticedAtOnceAlthoughALinkCouldBeMended) {
  auto first = link();
  const auto died = std::chrono::steady_clock::now();
  first.reset();  // without a word
  ASSERT_TRUE(node.wait_for_links(0));
  EXPECT_LT(std::chrono::steady_clock::now() - died, 500ms);
}

TEST_F(ByHand, PathsOfOnePeerAreFew) {
  const auto first = link();
  std::vector<Answer> open;
  for (int i = 0; i < 20; ++i) {
    open.push_back(dial(path));
    ASSERT_EQ(open.back().verdict, Verdict::kAdmitted);
  }
  EXPECT_EQ(dial(path).verdict, Verdict::kBusy);
}

}  // namespace
}  // namespace exo::net
