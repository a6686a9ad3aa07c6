// Attackers on the way between two nodes, and peers that lie in the handshake: docs/security.md, sentence by
// sentence.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <thread>

#include "net/beacon.h"
#include "net/channel.h"
#include "net/link_text.h"
#include "net/source_limiter.h"
#include "net/test_listener.h"
#include "net/test_node.h"
#include "wire/limits.h"

namespace exo::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

std::vector<std::byte> read_frame(WebSocket& channel) {
  beast::flat_buffer buffer;
  channel.read(buffer);
  const auto* bytes = static_cast<const std::byte*>(buffer.data().data());
  return {bytes, bytes + buffer.size()};
}

void write_frame(WebSocket& channel, const std::vector<std::byte>& frame) {
  channel.write(asio::buffer(frame.data(), frame.size()));
}

// Listens like a node and relays every handshake to `victim` over TLS of its own, changing it on the way.
class ManInTheMiddle {
 public:
  using ChangeHello = std::function<void(Introduction&)>;
  using ChangeReply = std::function<void(HelloReply&)>;

  ManInTheMiddle(TestNode& victim, ChangeHello hello, ChangeReply reply)
      : change_hello_(std::move(hello)),
        change_reply_(std::move(reply)),
        victim_port_(victim.network.peer_port()) {}
  std::string address() const { return listener_.address(); }
  const NodeId& id() const { return identity_.id(); }
  int relayed() const { return relayed_; }  // handshakes that went all the way round

 private:
  void relay(tcp::socket socket) {
    auto dialer = make_channel(std::move(socket), *tls_);
    dialer->next_layer().handshake(asio::ssl::stream_base::server);
    dialer->accept();
    Introduction hello = decode_hello(read_frame(*dialer)).value();
    tcp::socket onward(listener_.context());
    onward.connect({asio::ip::make_address("127.0.0.1"), victim_port_});
    auto acceptor = make_channel(std::move(onward), *tls_);
    acceptor->next_layer().handshake(asio::ssl::stream_base::client);
    acceptor->handshake("exo", kLinkTarget);
    if (change_hello_) change_hello_(hello);
    write_frame(*acceptor, encode_hello(hello));
    HelloReply reply = decode_reply(read_frame(*acceptor)).value();
    if (change_reply_) change_reply_(reply);
    write_frame(*dialer, encode_reply(reply));
    ++relayed_;
    read_frame(*dialer);  // until it closes
  }

  Identity identity_ = Identity::generate().value();
  std::shared_ptr<asio::ssl::context> tls_ = make_tls_context(identity_).value();
  const ChangeHello change_hello_;
  const ChangeReply change_reply_;
  const uint16_t victim_port_;
  std::atomic<int> relayed_ = 0;
  TestListener listener_{[this](tcp::socket socket) {
    try {
      relay(std::move(socket));
    } catch (const boost::system::system_error&) {  // one of the two closed
    }
  }};
};

struct Relay {
  std::string what;
  bool own_id;  // the relay says that it is itself, so that its id fits its certificate
  bool admit;   // the relay tells the dialer that it is admitted
  std::string at_victim, at_dialer;
};

TEST(ManInTheMiddleTest, ARelayedHandshakeOfAClosedClusterIsRefusedAtBothEndsWithAReason) {
  const Relay relays[] = {
      {"unchanged", false, false, "an identity that is not its own", "an identity that is not its own"},
      {"as itself", true, false, "its secret differs", "its secret differs"},
      {"unchanged, admitting", false, true, "an identity that is not its own", "an identity that is not its own"},
      {"as itself, admitting", true, true, "its secret differs", "its secret differs"},
  };
  for (const Relay& how : relays) {
    SCOPED_TRACE(how.what);
    TestNode victim("victim", [](NetworkOptions& o) { o.secret = "open sesame"; });
    NodeId middle_id;
    ManInTheMiddle middle(
        victim,
        [&](Introduction& hello) {
          if (how.own_id) hello.id = middle_id;
        },
        [&](HelloReply& reply) {
          if (how.own_id) reply.self.id = middle_id;
          if (how.admit) reply.verdict = Verdict::kAdmitted;
        });
    middle_id = middle.id();
    TestNode dialer("dialer", [&](NetworkOptions& o) { o.secret = "open sesame", o.seeds = {middle.address()}; });
    ASSERT_TRUE(eventually([&] { return !victim.refusals().empty() && !dialer.refusals().empty(); }));
    EXPECT_THAT(victim.refusals()[0].reason, HasSubstr(how.at_victim));
    EXPECT_THAT(dialer.refusals()[0].reason, HasSubstr(how.at_dialer));
    EXPECT_GE(middle.relayed(), 1);
    EXPECT_TRUE(victim.links().empty() && dialer.links().empty());
  }
}

TEST(ManInTheMiddleTest, StrippingTheSecretFromARelayedHandshakeDoesNotOpenTheCluster) {
  TestNode victim("victim", [](NetworkOptions& o) { o.secret = "open sesame"; });
  NodeId middle_id;
  ManInTheMiddle middle(
      victim,
      [&](Introduction& hello) {
        hello.id = middle_id;
        hello.has_secret = false;
        hello.proof = {};
      },
      [&](HelloReply& reply) {
        reply.verdict = Verdict::kAdmitted;
        reply.self.id = middle_id;
        reply.self.has_secret = false;
        reply.self.proof = {};
      });
  middle_id = middle.id();
  TestNode dialer("dialer", [&](NetworkOptions& o) { o.secret = "open sesame", o.seeds = {middle.address()}; });
  ASSERT_TRUE(eventually([&] { return !victim.refusals().empty() && !dialer.refusals().empty(); }));
  EXPECT_THAT(victim.refusals()[0].reason, HasSubstr("it has no secret and we have one"));
  EXPECT_THAT(dialer.refusals()[0].reason, HasSubstr("it has no secret and we have one"));
  EXPECT_TRUE(victim.links().empty() && dialer.links().empty());
}

// A peer with an identity of its own that says in the handshake what the test likes.
class Liar : public testing::Test {
 protected:
  tcp::socket connect() {
    tcp::socket socket(context);
    socket.connect({asio::ip::make_address("127.0.0.1"), node.network.peer_port()});
    return socket;
  }
  // TLS and the upgrade are done.
  std::unique_ptr<WebSocket> open() {
    auto channel = make_channel(connect(), *tls);
    channel->next_layer().handshake(asio::ssl::stream_base::client);
    channel->handshake("exo", kLinkTarget);
    return channel;
  }
  Introduction honest(WebSocket& channel) {
    Introduction self;
    self.id = identity.id();
    self.incarnation = 1;
    self.peer_port = 1;
    self.has_secret = true;
    self.name = "liar";
    self.software_version = "0.1.0";
    self.proof =
        key.proof(ProofRole::kLinkDialer, tls_channel_key(channel.next_layer()).value(), identity.id(), node.id());
    return self;
  }
  static Verdict say(WebSocket& channel, const std::vector<std::byte>& hello) {
    write_frame(channel, hello);
    return decode_reply(read_frame(channel)).value().verdict;
  }

  TestNode node{"node", [](NetworkOptions& o) { o.secret = "open sesame"; }};
  ClusterKey key = ClusterKey::from_secret("open sesame");
  asio::io_context context;
  Identity identity = Identity::generate().value();
  std::shared_ptr<asio::ssl::context> tls = make_tls_context(identity).value();
};

TEST_F(Liar, AnHonestHandshakeIsAdmittedAndItsReplayOnAnotherChannelIsNot) {
  std::vector<std::byte> recorded;
  {
    auto channel = open();
    recorded = encode_hello(honest(*channel));
    EXPECT_EQ(say(*channel, recorded), Verdict::kAdmitted);
    ASSERT_TRUE(node.wait_for_links(1));
  }
  ASSERT_TRUE(node.wait_for_links(0));
  auto channel = open();
  EXPECT_EQ(say(*channel, recorded), Verdict::kSecretDiffers) << "the same key, another channel";
  EXPECT_TRUE(node.links().empty());

  const auto thief = Identity::generate().value();
  tls = make_tls_context(thief).value();
  auto stolen = open();
  EXPECT_EQ(say(*stolen, recorded), Verdict::kMalformed) << "another key";
  EXPECT_TRUE(node.links().empty());
}

TEST_F(Liar, DowngradesAreRefused) {
  const auto verdict = [&](const std::function<void(Introduction&)>& change) {
    auto channel = open();
    Introduction hello = honest(*channel);
    change(hello);
    return say(*channel, encode_hello(hello));
  };
  EXPECT_EQ(verdict([](Introduction& h) { h.protocol_version = wire::kProtocolVersion - 1; }),
            Verdict::kVersionDiffers);
  EXPECT_EQ(verdict([](Introduction& h) { h.software_version = "0.0.9"; }), Verdict::kVersionDiffers);
  EXPECT_EQ(verdict([](Introduction& h) { h.proof = {}; }), Verdict::kSecretDiffers);
  EXPECT_EQ(verdict([](Introduction& h) {
              h.has_secret = false;
              h.proof = {};
            }),
            Verdict::kSecretMissing);
  key = ClusterKey::from_secret("open barley");
  EXPECT_EQ(verdict([](Introduction&) {}), Verdict::kSecretDiffers);
  EXPECT_TRUE(node.links().empty());
  EXPECT_TRUE(eventually([&] { return !node.refusals().empty(); }));
}

TEST_F(Liar, NobodyTakesThePlaceOfALinkedNodeByNamingItsId) {
  TestNode friendly("friendly", [&](NetworkOptions& o) {
    o.secret = "open sesame";
    o.seeds = {node.address()};
  });
  ASSERT_TRUE(node.wait_for_links(1));
  auto channel = open();
  Introduction hello = honest(*channel);
  hello.id = friendly.id();
  hello.incarnation = UINT64_MAX;  // as if it had been started again
  hello.proof =
      key.proof(ProofRole::kLinkDialer, tls_channel_key(channel->next_layer()).value(), friendly.id(), node.id());
  EXPECT_EQ(say(*channel, encode_hello(hello)), Verdict::kMalformed);
  EXPECT_TRUE(friendly.send(node.id(), wire::Ping{5}));
  ASSERT_TRUE(node.wait([&] { return !node.messages.empty(); }));
  EXPECT_EQ(node.messages[0].first, friendly.id());
  EXPECT_EQ(node.ask([&] { return node.network.links().size(); }), 1u);
  EXPECT_TRUE(node.downs.empty());
}

TEST_F(Liar, LengthsBeyondTheLimitEndTheLinkBeforeTheyAreBelieved) {
  // A WebSocket frame header that announces so many bytes, masked, final, binary; nothing follows.
  constexpr uint64_t kMostBytes = sizeof(CountBytes) + wire::kMaxFrameBytes;
  for (const uint64_t bytes : {kMostBytes + 1, uint64_t{1} << 40, (uint64_t{1} << 63) - 1}) {
    auto channel = open();
    ASSERT_EQ(say(*channel, encode_hello(honest(*channel))), Verdict::kAdmitted);
    ASSERT_TRUE(node.wait_for_links(1));
    std::array<uint8_t, 14> header{0x82, 0xFF};
    for (size_t i = 0; i < 8; ++i) header[2 + i] = static_cast<uint8_t>(bytes >> (8 * (7 - i)));
    asio::write(channel->next_layer(), asio::buffer(header));
    beast::flat_buffer answer;
    boost::system::error_code error;
    channel->read(answer, error);
    EXPECT_EQ(error, beast::websocket::error::closed) << error.message();
    EXPECT_EQ(channel->reason().code, beast::websocket::close_code::too_big);
    channel.reset();
    EXPECT_TRUE(node.wait_for_links(0)) << bytes;
  }
}

TEST_F(Liar, RecordedBytesOfAConnectionAreWorthNothing) {
  // What a listener has: the ciphertext of a whole session of an admitted peer.
  asio::io_context other;
  tcp::acceptor tap(other, {asio::ip::make_address("127.0.0.1"), 0});
  std::vector<char> recorded;
  std::thread listener([&] {
    tcp::socket in(other), out(other);
    tap.accept(in);
    out.connect({asio::ip::make_address("127.0.0.1"), node.network.peer_port()});
    std::thread back([&] {
      boost::system::error_code error;
      std::array<char, 4096> bytes;
      while (!error) {
        const size_t n = out.read_some(asio::buffer(bytes), error);
        if (n > 0) asio::write(in, asio::buffer(bytes.data(), n), error);
      }
      in.shutdown(tcp::socket::shutdown_both, error);
    });
    boost::system::error_code error;
    std::array<char, 4096> bytes;
    while (!error) {
      const size_t n = in.read_some(asio::buffer(bytes), error);
      recorded.insert(recorded.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
      if (n > 0) asio::write(out, asio::buffer(bytes.data(), n), error);
    }
    boost::system::error_code ignored;
    out.shutdown(tcp::socket::shutdown_both, ignored);
    back.join();
  });
  {
    TestNode friendly("friendly", [&](NetworkOptions& o) {
      o.secret = "open sesame";
      o.seeds = {"127.0.0.1:" + std::to_string(tap.local_endpoint().port())};
    });
    ASSERT_TRUE(node.wait_for_links(1));
    ASSERT_TRUE(friendly.wait_for_links(1));
    ASSERT_TRUE(friendly.send(node.id(), wire::Ping{5}));
    ASSERT_TRUE(node.wait([&] { return node.messages.size() == 1; }));
    tap.close();
  }
  listener.join();
  ASSERT_TRUE(node.wait_for_links(0));
  ASSERT_GT(recorded.size(), 500u) << "a handshake and a message";
  tcp::socket again = connect();
  boost::system::error_code ignored;
  asio::write(again, asio::buffer(recorded), ignored);
  std::array<char, 4096> answer;
  while (!ignored) again.read_some(asio::buffer(answer), ignored);  // until the node closes
  EXPECT_TRUE(node.links().empty());
  EXPECT_EQ(node.messages.size(), 1u);
  EXPECT_EQ(node.ups, 1u);
}

TEST(Downgrade, ADialerRefusesOlderTls) {
  asio::io_context context;
  const auto identity = Identity::generate().value();
  const auto tls = make_tls_context(identity).value();
  SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(tls->native_handle(), TLS1_2_VERSION);
  tcp::acceptor acceptor(context, {asio::ip::make_address("127.0.0.1"), 0});
  TestNode dialer("dialer", [&](NetworkOptions& o) {
    o.seeds = {"127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())};
  });
  auto channel = make_channel(acceptor.accept(), *tls);
  boost::system::error_code error;
  channel->next_layer().handshake(asio::ssl::stream_base::server, error);
  EXPECT_TRUE(error.failed());
  socket_of(*channel).close();
  EXPECT_TRUE(eventually([&] { return dialer.seed_states()[0].phase == SeedState::Phase::kUnreachable; }));
  EXPECT_TRUE(dialer.links().empty());
}

// ---- discovery

TEST(SourceLimiterTest, OneSourceCannotUseUpWhatOthersGet) {
  SourceLimiter limiter(10, 4);
  TimePoint now{seconds(100)};
  int allowed = 0;
  for (int i = 0; i < 1000; ++i) allowed += limiter.allow("flooder", now += milliseconds(1));
  EXPECT_LE(allowed, 20) << "ten at once and ten in the second that passed";
  EXPECT_GE(allowed, 18);
  EXPECT_TRUE(limiter.allow("friend", now));
}

TEST(SourceLimiterTest, SourcesAreBoundedAndForgottenWhenSilent) {
  SourceLimiter limiter(10, 4);
  TimePoint now{seconds(100)};
  int allowed = 0;
  for (int i = 0; i < 10'000; ++i) allowed += limiter.allow("forged" + std::to_string(i), now += milliseconds(1));
  EXPECT_LE(limiter.sources(), 4u);
  EXPECT_LE(allowed, 4 * 11) << "four new ones a second";
  EXPECT_TRUE(limiter.allow("friend", now + seconds(2)));
}

TEST(BeaconFlood, NodesFindEachOtherMeanwhile) {
  uint8_t bytes[2];
  random_bytes(bytes);
  const auto port = static_cast<uint16_t>(20000 + (bytes[0] * 256 + bytes[1]) % 30000);
  TestNode a("a", [&](NetworkOptions& o) { o.discovery_port = port; });
  std::atomic<bool> over = false;
  std::atomic<uint64_t> sent = 0;
  std::thread flooder([&] {
    asio::io_context context;
    asio::ip::udp::socket socket(context, asio::ip::udp::v4());
    socket.bind({asio::ip::make_address("127.0.0.77"), 0});
    Beacon beacon;
    beacon.protocol_version = wire::kProtocolVersion;
    beacon.peer_port = 9;
    beacon.name = "flood";
    beacon.software_version = "0.1.0";
    while (!over) {
      random_bytes(beacon.id.bytes);
      const auto datagram = encode_beacon(beacon);
      boost::system::error_code ignored;
      socket.send_to(asio::buffer(datagram.data(), datagram.size()), {asio::ip::make_address("127.0.0.1"), port}, 0,
                     ignored);
      if (++sent % 64 == 0) std::this_thread::sleep_for(milliseconds(1));
    }
  });
  EXPECT_TRUE(eventually([&] { return sent > 5000; }));
  TestNode b("b", [&](NetworkOptions& o) { o.discovery_port = port; });
  EXPECT_TRUE(a.wait_for_links(1));
  EXPECT_TRUE(b.wait_for_links(1));
  over = true;
  flooder.join();
}

}  // namespace
}  // namespace exo::net
