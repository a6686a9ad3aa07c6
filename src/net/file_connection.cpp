#include "net/file_connection.h"

#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <exception>
#include <optional>

#include "net/channel.h"
#include "net/file_server.h"

namespace exo::net {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

namespace {

constexpr size_t kMaxTextBytes = 64 << 10;  // of layouts and error texts

struct Response {
  http::status status = http::status::ok;
  std::vector<std::byte> body;

  std::string text() const { return {reinterpret_cast<const char*>(body.data()), body.size()}; }
};

class TlsFileConnection final : public FileConnection {
 public:
  TlsFileConnection(std::shared_ptr<asio::ssl::context> tls, std::shared_ptr<const LocalNode> local, NodeId peer,
                    std::vector<FileEndpoint> endpoints)
      : tls_(std::move(tls)), local_(std::move(local)), peer_(peer), endpoints_(std::move(endpoints)) {}

  Result<FileLayout> layout(const std::string& fingerprint) override {
    EXO_TRY(const auto response, request(fmt::format("/models/{}/layout", fingerprint), "", kMaxTextBytes));
    EXO_CHECK_OK(check_status(response, http::status::ok));
    return parse_layout(response.text());
  }

  Result<std::vector<std::byte>> read(const std::string& fingerprint, uint64_t offset, uint64_t bytes) override {
    if (bytes == 0 || bytes > kMaxChunkBytes)
      return fail(ErrorCode::kInvalidArgument, "a chunk of {} bytes", bytes);
    const std::string range = fmt::format("Range: bytes={}-{}\r\n", offset, offset + bytes - 1);
    return exactly(bytes, request("/models/" + fingerprint, range, bytes));
  }

  Result<std::vector<Digest>> piece_hashes(const std::string& fingerprint, uint64_t first,
                                           uint64_t count) override {
    if (count == 0 || count > kMaxPieceHashes || first > UINT64_MAX - count)
      return fail(ErrorCode::kInvalidArgument, "hashes of {} pieces", count);
    const std::string range = fmt::format("Range: pieces={}-{}\r\n", first, first + count - 1);
    const uint64_t bytes = count * sizeof(Digest);
    EXO_TRY(const auto body, exactly(bytes, request(fmt::format("/models/{}/pieces", fingerprint), range, bytes)));
    std::vector<Digest> hashes(count);
    std::memcpy(hashes.data(), body.data(), bytes);
    return hashes;
  }

  Result<std::vector<std::byte>> manifest(const std::string& fingerprint, uint64_t offset,
                                          uint64_t bytes) override {
    if (bytes == 0 || bytes > kMaxChunkBytes)
      return fail(ErrorCode::kInvalidArgument, "a chunk of {} bytes", bytes);
    const std::string range = fmt::format("Range: bytes={}-{}\r\n", offset, offset + bytes - 1);
    return exactly(bytes, request(fmt::format("/models/{}/manifest", fingerprint), range, bytes));
  }

  void cancel() override {
    cancelled_ = true;
    asio::post(context_, [this] { close(); });
  }

 private:
  static Result<std::vector<std::byte>> exactly(uint64_t bytes, Result<Response> response) {
    if (!response) return std::unexpected(std::move(response).error());
    EXO_CHECK_OK(check_status(*response, http::status::partial_content));
    if (response->body.size() == bytes) return std::move(response->body);
    return fail(ErrorCode::kCorrupt, "{} bytes came instead of {}", response->body.size(), bytes);
  }
  static Status check_status(const Response& response, http::status expected) {
    if (response.status == expected) return {};
    const auto code = response.status == http::status::not_found   ? ErrorCode::kNotFound
                      : response.status == http::status::forbidden ? ErrorCode::kPermissionDenied
                                                                   : ErrorCode::kUnavailable;
    return fail(code, "{}", response.text());
  }

  void close() {
    if (!channel_) return;
    boost::system::error_code ignored;
    socket_of(*channel_).close(ignored);
    connected_ = false;
  }

  // Runs one exchange on this thread.
  Result<Response> request(const std::string& target, const std::string& range, uint64_t max_body_bytes) {
    if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
    std::optional<Response> response;
    std::string problem;
    expired_ = false;
    try {
      asio::co_spawn(context_, exchange(target, range, max_body_bytes),
                     [&](const std::exception_ptr& error, Response result) {
                       if (!error) response = std::move(result);
                       if (error) problem = describe(error);
                     });
      context_.restart();
      context_.run();
    } catch (const std::exception& error) {
      problem = error.what();
    }
    if (response) return std::move(*response);
    close();
    if (cancelled_) return fail(ErrorCode::kCancelled, "cancelled");
    if (expired_) return fail(ErrorCode::kDeadlineExceeded, "the peer sent nothing for too long");
    return fail(ErrorCode::kUnavailable, "{}", problem);
  }

  static std::string describe(const std::exception_ptr& pointer) {
    try {
      std::rethrow_exception(pointer);
    } catch (const boost::system::system_error& error) {
      return error.code().message();
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  asio::awaitable<Response> exchange(std::string target, std::string range, uint64_t max_body_bytes) {
    if (!connected_) co_await connect();
    SocketDeadline deadline(socket_of(*channel_), kFileIdleDeadline);
    TlsStream& stream = channel_->next_layer();
    try {
      const std::string head =
          fmt::format("GET {} HTTP/1.1\r\nHost: exo\r\n{}: {}\r\n{}: {}\r\n{}\r\n", target, kVersionHeader,
                      version_header(local_->self), kProofHeader, proof_, range);
      co_await asio::async_write(stream, asio::buffer(head), asio::use_awaitable);
      http::response_parser<http::empty_body> parser;
      parser.header_limit(8 << 10);
      parser.body_limit(max_body_bytes > kMaxTextBytes ? max_body_bytes : kMaxTextBytes);
      co_await http::async_read_header(stream, buffer_, parser, asio::use_awaitable);
      Response response = co_await read_body(deadline, parser);
      co_return response;
    } catch (...) {
      expired_ = deadline.expired();
      throw;
    }
  }

  asio::awaitable<Response> read_body(SocketDeadline& deadline, http::response_parser<http::empty_body>& parser) {
    Response response;
    response.status = parser.get().result();
    const auto length = parser.content_length();
    if (!length || *length > kMaxChunkBytes) throw std::runtime_error("an answer of unknown or excessive length");
    response.body.resize(*length);
    // buffer_copy: an answer may be empty, and memcpy takes no null pointers even then.
    size_t filled = asio::buffer_copy(asio::buffer(response.body), buffer_.data());
    buffer_.consume(filled);
    while (filled < response.body.size()) {
      const asio::mutable_buffer rest(response.body.data() + filled, response.body.size() - filled);
      filled += co_await channel_->next_layer().async_read_some(rest, asio::use_awaitable);
      deadline.extend(kFileIdleDeadline);
    }
    co_return response;
  }

  asio::awaitable<void> connect() {
    std::string problem = "no address is known";
    for (const FileEndpoint& endpoint : endpoints_) {
      try {
        co_await connect_to(endpoint);
        connected_ = true;
      } catch (const std::exception& error) {
        problem = fmt::format("{}: {}", endpoint.address, error.what());
      }
      if (connected_ || cancelled_) break;
    }
    if (!connected_) throw std::runtime_error(problem);
  }

  asio::awaitable<void> connect_to(const FileEndpoint& endpoint) {
    buffer_.clear();
    channel_ = make_channel(tcp::socket(context_), *tls_);
    tcp::socket& socket = socket_of(*channel_);
    SocketDeadline deadline(socket, kFileIdleDeadline);
    co_await socket.async_connect(tcp::endpoint(asio::ip::make_address(endpoint.address), endpoint.port),
                                  asio::use_awaitable);
    tune_socket(socket);
    TlsStream& stream = channel_->next_layer();
    co_await stream.async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
    const auto peer = tls_peer(stream);
    const auto channel_key = tls_channel_key(stream);
    if (!peer || *peer != peer_ || !channel_key) throw std::runtime_error("another node answers there");
    proof_ = to_hex(local_->key.proof(ProofRole::kFileClient, *channel_key, local_->self.id, peer_));
  }

  asio::io_context context_{1};
  const std::shared_ptr<asio::ssl::context> tls_;
  const std::shared_ptr<const LocalNode> local_;
  const NodeId peer_;
  const std::vector<FileEndpoint> endpoints_;
  std::unique_ptr<WebSocket> channel_;  // only its TLS layer is used
  beast::flat_buffer buffer_;
  std::string proof_;
  bool connected_ = false, expired_ = false;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

std::unique_ptr<FileConnection> make_file_connection(std::shared_ptr<asio::ssl::context> tls,
                                                     std::shared_ptr<const LocalNode> local, NodeId peer,
                                                     std::vector<FileEndpoint> endpoints) {
  return std::make_unique<TlsFileConnection>(std::move(tls), std::move(local), peer, std::move(endpoints));
}

}  // namespace exo::net
