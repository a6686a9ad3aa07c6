// Strangers at the peer port: whatever they send, they are closed and the node goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <thread>

#include "net/channel.h"
#include "net/file_connection.h"
#include "net/link_text.h"
#include "net/peer_acceptor.h"
#include "net/test_listener.h"
#include "net/test_node.h"

namespace exo::net {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class PeerPort : public testing::Test {
 protected:
  tcp::socket connect() {
    tcp::socket socket(context);
    socket.connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), node.network.peer_port()));
    return socket;
  }
  // A stranger with a proper identity, TLS done.
  std::unique_ptr<WebSocket> connect_tls() {
    auto channel = make_channel(connect(), *tls);
    channel->next_layer().handshake(asio::ssl::stream_base::client);
    return channel;
  }
  // Reads until the node closes; false if it still has not after 10 s.
  static bool closed_by_node(tcp::socket& socket) {
    timeval limit{10, 0};
    ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char buffer[4096];
    for (;;) {
      const ssize_t n = ::recv(socket.native_handle(), buffer, sizeof buffer, 0);
      if (n == 0 || (n < 0 && errno == ECONNRESET)) return true;
      if (n < 0) return false;
    }
  }
  void expect_alive() {
    TestNode friendly("friendly", [&](NetworkOptions& o) { o.seeds = {node.address()}; });
    EXPECT_TRUE(friendly.wait_for_links(1));
    EXPECT_TRUE(friendly.send(node.id(), wire::Ping{1}));
  }

  TestNode node{"node", [](NetworkOptions& o) { o.handshake_deadline = seconds(1); }};
  asio::io_context context;
  Identity identity = Identity::generate().value();
  std::shared_ptr<asio::ssl::context> tls = make_tls_context(identity).value();
};

TEST_F(PeerPort, GarbageAndPlainHttpAreClosed) {
  for (const std::string& text : {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), std::string(5000, '\xff'),
                                  std::string("\x16\x03\x01\x40\x00", 5) + std::string(20000, 'a')}) {
    tcp::socket socket = connect();
    boost::system::error_code ignored;
    asio::write(socket, asio::buffer(text), ignored);
    EXPECT_TRUE(closed_by_node(socket));
  }
  expect_alive();
}

TEST_F(PeerPort, SilentStrangersAreClosedInTime) {
  const auto begin = std::chrono::steady_clock::now();
  tcp::socket silent = connect();
  auto half_way = connect_tls();  // TLS, then nothing
  auto slow = connect_tls();      // one byte of a request
  asio::write(slow->next_layer(), asio::buffer("G", 1));
  EXPECT_TRUE(closed_by_node(silent));
  EXPECT_TRUE(closed_by_node(socket_of(*half_way)));
  EXPECT_TRUE(closed_by_node(socket_of(*slow)));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(4));
}

TEST_F(PeerPort, FloodOfConnectionsIsBoundedAndPasses) {
  std::vector<tcp::socket> sockets;
  for (size_t i = 0; i < 3 * kMaxStrangersPerAddress; ++i) sockets.push_back(connect());
  size_t closed = 0;
  std::this_thread::sleep_for(milliseconds(300));
  for (tcp::socket& socket : sockets) {
    char byte;
    closed += ::recv(socket.native_handle(), &byte, 1, MSG_DONTWAIT) == 0;
  }
  EXPECT_GE(closed, 2 * kMaxStrangersPerAddress);
  sockets.clear();
  expect_alive();
}

TEST_F(PeerPort, OversizedAndMalformedHandshakesAreClosed) {
  for (const size_t bytes : {kMaxHelloBytes + 1, size_t{0}, size_t{10}}) {
    auto channel = connect_tls();
    channel->handshake("exo", kLinkTarget);
    channel->auto_fragment(false);
    const std::vector<std::byte> frame(bytes, std::byte{'E'});
    boost::system::error_code ignored;
    channel->write(asio::buffer(frame.data(), frame.size()), ignored);
    EXPECT_TRUE(closed_by_node(socket_of(*channel))) << bytes;
  }
  auto long_head = connect_tls();
  const std::string head = "GET /link HTTP/1.1\r\nX: " + std::string(100000, 'x') + "\r\n\r\n";
  boost::system::error_code ignored;
  asio::write(long_head->next_layer(), asio::buffer(head), ignored);
  EXPECT_TRUE(closed_by_node(socket_of(*long_head)));
  expect_alive();
}

// What an admitted peer may still do wrong.
TEST_F(PeerPort, MalformedMessageClosesTheLinkAndSaysSo) {
  LocalNode local;
  local.self.id = identity.id();
  local.self.peer_port = 1;
  local.self.name = "rogue";
  local.self.software_version = "0.1.0";
  auto channel = make_channel(tcp::socket(context), *tls);
  socket_of(*channel).connect(tcp::endpoint(asio::ip::make_address("127.0.0.1"), node.network.peer_port()));
  Greeting greeting;
  asio::co_spawn(context, greet(*channel, local, [](const NodeId&) { return true; }),
                 [&](const std::exception_ptr& error, Greeting result) {
                   EXPECT_FALSE(error);
                   greeting = std::move(result);
                 });
  context.run();
  ASSERT_EQ(greeting.verdict, Verdict::kAdmitted);
  EXPECT_EQ(greeting.peer.name, "node");
  ASSERT_TRUE(node.wait([&] { return node.ups == 1; }));
  const CountBytes count{};
  channel->write(std::array{asio::buffer(count), asio::buffer("\x04\x00\x00\x00garbage", 11)});
  ASSERT_TRUE(node.wait([&] { return node.downs.size() == 1; }));
  EXPECT_THAT(node.downs[0].second, HasSubstr("malformed message"));
  expect_alive();
}

TEST_F(PeerPort, CertificatesThatAreNotEd25519AreRefused) {
  EVP_PKEY* key = EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  for (const bool with_certificate : {true, false}) {
    asio::ssl::context other(asio::ssl::context::tlsv13);
    if (with_certificate) {
      SSL_CTX_use_certificate(other.native_handle(), certificate);
      SSL_CTX_use_PrivateKey(other.native_handle(), key);
    }
    auto channel = make_channel(connect(), other);
    boost::system::error_code error;
    channel->next_layer().handshake(asio::ssl::stream_base::client, error);  // in TLS 1.3 the client may be content
    EXPECT_TRUE(closed_by_node(socket_of(*channel)));
  }
  X509_free(certificate);
  EVP_PKEY_free(key);
  EXPECT_TRUE(node.links().empty());
  expect_alive();
}

TEST_F(PeerPort, OlderTlsIsRefused) {
  SSL_CTX_set_min_proto_version(tls->native_handle(), TLS1_2_VERSION);
  SSL_CTX_set_max_proto_version(tls->native_handle(), TLS1_2_VERSION);
  auto channel = make_channel(connect(), *tls);
  boost::system::error_code error;
  channel->next_layer().handshake(asio::ssl::stream_base::client, error);
  EXPECT_TRUE(error.failed());
}

// ---- files

constexpr uint64_t kMiB = 1 << 20;

class StringSource : public FileSource {
 public:
  explicit StringSource(std::string text) : text_(std::move(text)) { layout_.parts.push_back({text_.size(), 10}); }
  const FileLayout& layout() const override { return layout_; }
  bool has(uint64_t offset, uint64_t bytes) const override { return offset + bytes <= text_.size() - 100; }
  Status read(uint64_t offset, std::span<std::byte> out) const override {
    std::memcpy(out.data(), text_.data() + offset, out.size());
    return {};
  }
  Result<std::vector<Digest>> piece_hashes(uint64_t first, uint64_t count) const override {
    if (first + count > 6) return fail(ErrorCode::kInvalidArgument, "pieces beyond the file");
    std::vector<Digest> hashes(count);
    for (uint64_t i = 0; i < count; ++i) hashes[i].fill(static_cast<uint8_t>(first + i));
    return hashes;
  }
  Result<std::shared_ptr<const std::vector<std::byte>>> manifest() const override {
    if (!has_manifest) return FileSource::manifest();
    return std::make_shared<const std::vector<std::byte>>(5 << 20, std::byte{7});
  }
  std::atomic<bool> has_manifest = false;

 private:
  std::string text_;
  FileLayout layout_;
};

TEST(Files, RangesComeExactlyAndRefusalsHaveReasons) {
  std::string text(6 << 20, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 + i / 999);
  TestNode owner("owner", [](NetworkOptions& o) { o.secret = "s"; });
  TestNode asker("asker", [&](NetworkOptions& o) { o.secret = "s", o.seeds = {owner.address()}; });
  const auto source = std::make_shared<StringSource>(text);
  owner.loop.run_and_wait([&] {
    owner.network.set_file_source([source](std::string_view id) { return id == "model" ? source : nullptr; });
  });
  ASSERT_FALSE(asker.network.connect_files(NodeId{}).has_value());
  ASSERT_TRUE(asker.wait_for_links(1));
  const auto files = asker.network.connect_files(owner.id()).value();
  EXPECT_EQ(files->layout("model")->total_bytes(), text.size());
  for (const auto& [offset, bytes] :
       {std::pair<uint64_t, uint64_t>{0, 10}, {1234567, 3 << 20}, {100, kMaxChunkBytes}}) {
    const auto got = files->read("model", offset, bytes);
    ASSERT_TRUE(got.has_value()) << got.error().message;
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(got->data()), got->size()),
              text.substr(offset, bytes));
  }
  EXPECT_EQ(files->read("other", 0, 10).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files->read("model", text.size() - 50, 10).error().code, ErrorCode::kNotFound) << "a range it lacks";
  EXPECT_EQ(files->read("model", text.size(), 10).error().code, ErrorCode::kUnavailable) << "beyond the file";
  EXPECT_EQ(files->read("model", 0, kMaxChunkBytes + 1).error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(files->read("model", 0, 10).has_value()) << "the connection is still good";

  const auto hashes = files->piece_hashes("model", 2, 4);
  ASSERT_TRUE(hashes.has_value()) << hashes.error().message;
  EXPECT_EQ(hashes->size(), 4u);
  EXPECT_EQ(hashes->at(1)[31], 3);
  EXPECT_EQ(files->piece_hashes("model", 3, 4).error().code, ErrorCode::kUnavailable) << "beyond the file";
  EXPECT_EQ(files->piece_hashes("model", UINT64_MAX, 1).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(files->piece_hashes("model", 0, kMaxPieceHashes + 1).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(files->piece_hashes("other", 0, 1).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(files->manifest("model", 0, 100).error().code, ErrorCode::kNotFound) << "not known yet";
  source->has_manifest = true;
  EXPECT_EQ(files->manifest("model", 0, kMaxChunkBytes)->size(), kMaxChunkBytes);
  EXPECT_EQ(files->manifest("model", kMaxChunkBytes, kMiB)->front(), std::byte{7});
  EXPECT_EQ(files->manifest("model", kMaxChunkBytes, kMiB + 1).error().code, ErrorCode::kUnavailable)
      << "beyond it";

  // A client with another secret, past the links.
  const auto stranger = Identity::generate().value();
  auto local = std::make_shared<LocalNode>();
  local->self.id = stranger.id();
  local->self.software_version = "0.1.0";
  local->key = ClusterKey::from_secret("guess");
  auto refused = make_file_connection(make_tls_context(stranger).value(), local, owner.id(),
                                      {{"127.0.0.1", owner.network.peer_port()}});
  const auto answer = refused->layout("model");
  ASSERT_FALSE(answer.has_value());
  EXPECT_EQ(answer.error().code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(answer.error().message, HasSubstr("secret"));

  files->cancel();
  EXPECT_EQ(files->read("model", 0, 10).error().code, ErrorCode::kCancelled);
  owner.shut_down();
  const auto late = asker.network.connect_files(owner.id());
  ASSERT_TRUE(late.has_value());
  EXPECT_FALSE((*late)->read("model", 0, 10).has_value());
}

// What a peer may answer to a request for ten bytes of a model, and what comes of it.
struct WrongAnswer {
  std::string status, headers, body;
  ErrorCode code;
};

TEST(Files, WrongAnswersAreErrors) {
  const WrongAnswer answers[] = {
      {"206 Partial Content", "Content-Length: 0\r\n", "", ErrorCode::kCorrupt},
      {"206 Partial Content", "Content-Length: 3\r\n", "abc", ErrorCode::kCorrupt},
      {"200 OK", "Content-Length: 0\r\n", "", ErrorCode::kUnavailable},
      {"404 Not Found", "Content-Length: 0\r\n", "", ErrorCode::kNotFound},
      {"206 Partial Content", "", "0123456789", ErrorCode::kUnavailable},
      {"206 Partial Content", "Content-Length: 99999999999\r\n", "", ErrorCode::kUnavailable},
      {"206 Partial Content", "Content-Length: 10\r\n", "01234", ErrorCode::kUnavailable},
  };
  const auto liar = Identity::generate().value();
  const auto tls = make_tls_context(liar).value();
  const WrongAnswer* next = answers;
  TestListener listener([&](tcp::socket socket) {
    auto channel = make_channel(std::move(socket), *tls);
    boost::system::error_code error;
    channel->next_layer().handshake(asio::ssl::stream_base::server, error);
    asio::streambuf request;
    if (!error) asio::read_until(channel->next_layer(), request, "\r\n\r\n", error);
    const std::string text = "HTTP/1.1 " + next->status + "\r\n" + next->headers + "\r\n" + next->body;
    if (!error) asio::write(channel->next_layer(), asio::buffer(text), error);
    EXPECT_FALSE(error.failed()) << error.message();
  });
  const auto asker = Identity::generate().value();
  const auto local = std::make_shared<LocalNode>();
  local->self.id = asker.id();
  local->self.software_version = "0.1.0";
  for (; next != std::end(answers); ++next) {
    SCOPED_TRACE(next->status + ", " + next->headers + next->body);
    const auto files =
        make_file_connection(make_tls_context(asker).value(), local, liar.id(), {{"127.0.0.1", listener.port()}});
    const auto got = files->read("model", 0, 10);
    ASSERT_FALSE(got.has_value());
    EXPECT_EQ(got.error().code, next->code) << got.error().message;
  }
}

}  // namespace
}  // namespace exo::net
