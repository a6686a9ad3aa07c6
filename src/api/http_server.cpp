#include "api/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <deque>
#include <optional>
#include <set>

#include "base/log.h"

namespace exo::api {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using namespace std::chrono_literals;

namespace {
constexpr auto kHeaderDeadline = 30s;  // for a whole request to arrive, once begun, and for idle keep-alive
constexpr auto kBodyDeadline = 120s;
constexpr auto kWriteDeadline = 60s;
constexpr auto kAcceptPause = 100ms;  // when the system is out of descriptors

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = (c >= 'A' && c <= 'Z') ? char(c + 32) : c;
  return result;
}

std::string status_line(int status) {
  return fmt::format("HTTP/1.1 {} {}\r\n", status,
                     std::string_view(http::obsolete_reason(http::int_to_status(status))));
}
}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  auto it = headers.find(name);
  return it == headers.end() ? std::string_view() : std::string_view(it->second);
}

class Session;

struct HttpServer::Impl : std::enable_shared_from_this<HttpServer::Impl> {
  Impl(asio::io_context& io_context, HttpOptions o, HttpHandler h)
      : io(io_context), options(std::move(o)), handler(std::move(h)), acceptor(io_context), pause(io_context) {}

  asio::io_context& io;
  HttpOptions options;
  HttpHandler handler;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::set<std::shared_ptr<Session>> sessions;
  bool stopped = false;

  void accept();
  void accept_later();
};

// One connection: request after request. Everything runs on the network thread.
class Session : public std::enable_shared_from_this<Session> {
 public:
  Session(tcp::socket socket, std::shared_ptr<HttpServer::Impl> server)
      : stream_(std::move(socket)),
        server_(std::move(server)),
        buffer_(server_->options.max_header_bytes + (1 << 20)) {}

  void start() {
    beast::error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
    remote_ = stream_.socket().remote_endpoint(ignored).address().to_string();
    read_request();
  }

  void close() {
    if (closed_) return;
    closed_ = true;
    beast::error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
    if (auto callback = std::exchange(on_closed_, nullptr)) callback();
    server_->sessions.erase(shared_from_this());
  }

 private:
  class Response;
  friend class Response;

  void read_request() {
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(server_->options.max_header_bytes));
    parser_->body_limit(server_->options.max_body_bytes);
    stream_.expires_after(kHeaderDeadline);
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](beast::error_code error, size_t) { self->on_header(error); });
  }

  void on_header(beast::error_code error) {
    if (error) return reject(error);
    if (lower(std::string_view(parser_->get()[http::field::expect])) == "100-continue") {
      queue("HTTP/1.1 100 Continue\r\n\r\n");
    }
    stream_.expires_after(kBodyDeadline);
    http::async_read(stream_, buffer_, *parser_,
                     [self = shared_from_this()](beast::error_code e, size_t) { self->on_request(e); });
  }

  // A request that cannot be understood gets a plain answer and the connection ends.
  void reject(beast::error_code error) {
    int status = 400;
    if (error == http::error::body_limit) status = 413;
    if (error == http::error::header_limit) status = 431;
    const bool is_http_error = error.category() == make_error_code(http::error::body_limit).category();
    if (!is_http_error || error == http::error::end_of_stream || error == http::error::partial_message)
      return close();
    keep_alive_ = false;
    const std::string body = fmt::format(
        R"({{"error":{{"message":"The HTTP request could not be read: {}","type":"invalid_request_error","param":null,"code":null}}}})",
        error.message());
    finish_with(status_line(status) + fmt::format("Content-Type: application/json\r\nConnection: close\r\n"
                                                  "Content-Length: {}\r\n\r\n{}",
                                                  body.size(), body));
  }

  void on_request(beast::error_code error);
  void dispatch(HttpRequest request);

  void watch_for_disconnect() {
    stream_.expires_never();
    stream_.socket().async_wait(tcp::socket::wait_read, [self = shared_from_this()](beast::error_code error) {
      if (self->closed_ || !self->answering_ || error) return;
      char probe;
      beast::error_code peek_error;
      self->stream_.socket().non_blocking(true, peek_error);
      const size_t n =
          self->stream_.socket().receive(asio::buffer(&probe, 1), tcp::socket::message_peek, peek_error);
      if (peek_error == asio::error::would_block) return self->watch_for_disconnect();
      if (n == 0 || peek_error) self->close();
      // Otherwise the client pipelined its next request: it is read when this answer is complete.
    });
  }

  void queue(std::string bytes) {
    if (closed_) return;
    pending_bytes_ += bytes.size();
    if (pending_bytes_ > server_->options.max_pending_bytes && !out_.empty()) {
      log_warning("http", "{} does not read its answer; closing", remote_);
      return close();
    }
    out_.push_back(std::move(bytes));
    if (!writing_) write_next();
  }

  void finish_with(std::string bytes) {
    last_write_ = true;
    queue(std::move(bytes));
  }

  void write_next() {
    writing_ = true;
    stream_.expires_after(kWriteDeadline);
    asio::async_write(stream_, asio::buffer(out_.front()),
                      [self = shared_from_this()](beast::error_code error, size_t) { self->on_written(error); });
  }

  void on_written(beast::error_code error) {
    writing_ = false;
    if (closed_) return;
    if (error) return close();
    pending_bytes_ -= out_.front().size();
    out_.pop_front();
    if (!out_.empty()) return write_next();
    if (answering_) stream_.expires_never();
    if (!last_write_) return;
    last_write_ = answering_ = false;
    on_closed_ = nullptr;
    if (!keep_alive_ || server_->stopped) return close();
    beast::error_code ignored;
    stream_.socket().cancel(ignored);  // the wait of watch_for_disconnect
    read_request();
  }

  beast::tcp_stream stream_;
  std::shared_ptr<HttpServer::Impl> server_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::string remote_;
  std::deque<std::string> out_;
  size_t pending_bytes_ = 0;
  std::function<void()> on_closed_;
  uint64_t answer_ = 0;  // counts answers, so that a late Response object cannot write into the next one
  bool keep_alive_ = true, answering_ = false, writing_ = false, last_write_ = false, closed_ = false,
       head_ = false;
};

class Session::Response : public HttpResponse {
 public:
  Response(std::shared_ptr<Session> session, uint64_t answer) : session_(std::move(session)), answer_(answer) {}
  ~Response() override {
    if (state_ == State::kNew) {
      send(500, "application/json",
           R"({"error":{"message":"The request was dropped.","type":"server_error","param":null,"code":null}})",
           {});
    } else if (state_ == State::kStreaming && !closed()) {
      session_->close();  // an unfinished chunked stream must not look complete
    }
  }

  void send(int status, std::string_view type, std::string body, const Headers& headers) override {
    if (state_ != State::kNew) return;
    state_ = State::kDone;
    if (closed()) return;
    std::string head = head_of(status, type, headers);
    fmt::format_to(std::back_inserter(head), "Content-Length: {}\r\n\r\n", body.size());
    if (!session_->head_) head += body;
    session_->finish_with(std::move(head));
  }

  void start_stream(int status, std::string_view type, const Headers& headers) override {
    if (state_ != State::kNew) return;
    state_ = State::kStreaming;
    if (closed()) return;
    session_->queue(head_of(status, type, headers) +
                    "Cache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n");
  }

  void write(std::string chunk) override {
    if (state_ != State::kStreaming || chunk.empty() || closed()) return;
    session_->queue(fmt::format("{:x}\r\n{}\r\n", chunk.size(), chunk));
  }

  void end() override {
    if (state_ != State::kStreaming) return;
    state_ = State::kDone;
    if (!closed()) session_->finish_with("0\r\n\r\n");
  }

  bool closed() const override { return session_->closed_ || session_->answer_ != answer_; }

  void on_closed(std::function<void()> callback) override {
    if (!closed()) session_->on_closed_ = std::move(callback);
  }

 private:
  enum class State { kNew, kStreaming, kDone };

  std::string head_of(int status, std::string_view type, const Headers& headers) const {
    std::string head = status_line(status);
    fmt::format_to(std::back_inserter(head), "Content-Type: {}\r\n", type);
    head += "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n";
    for (const auto& [name, value] : headers) fmt::format_to(std::back_inserter(head), "{}: {}\r\n", name, value);
    head += session_->keep_alive_ ? "Connection: keep-alive\r\n" : "Connection: close\r\n";
    return head;
  }

  std::shared_ptr<Session> session_;
  uint64_t answer_;
  State state_ = State::kNew;
};

void Session::on_request(beast::error_code error) {
  if (error) return reject(error);
  auto message = parser_->release();
  keep_alive_ = message.keep_alive();
  head_ = message.method() == http::verb::head;
  HttpRequest request;
  request.method = head_ ? "GET" : std::string(message.method_string());
  request.remote_address = remote_;
  request.body = std::move(message.body());
  for (const auto& field : message)
    request.headers[lower(std::string_view(field.name_string()))] = std::string(field.value());
  const auto url = boost::urls::parse_origin_form(message.target());
  if (!url) {
    keep_alive_ = false;
    return reject(make_error_code(http::error::bad_target));
  }
  // decode() of a parsed view cannot fail: its escapes were checked.
  const std::string path = url->path();
  request.path = path;
  for (const auto& parameter : url->params())
    request.query[std::string(parameter.key)] = std::string(parameter.value);
  dispatch(std::move(request));
}

void Session::dispatch(HttpRequest request) {
  answering_ = true;
  ++answer_;
  auto response = std::make_shared<Response>(shared_from_this(), answer_);
  watch_for_disconnect();
  try {
    server_->handler(request, response);
  } catch (const std::exception& failure) {
    log_error("http", "{} {}: {}", request.method, request.path, failure.what());
    response->send(500, "application/json",
                   R"({"error":{"message":"Internal error.","type":"server_error","param":null,"code":null}})", {});
  }
}

void HttpServer::Impl::accept() {
  acceptor.async_accept([self = shared_from_this()](beast::error_code error, tcp::socket socket) {
    if (self->stopped) return;
    if (error) return self->accept_later();
    if (self->sessions.size() < self->options.max_connections) {
      auto session = std::make_shared<Session>(std::move(socket), self);
      self->sessions.insert(session);
      session->start();
    }
    self->accept();
  });
}

// At once it would fail again, as fast as it can be tried.
void HttpServer::Impl::accept_later() {
  pause.expires_after(kAcceptPause);
  pause.async_wait([self = shared_from_this()](beast::error_code) {
    if (!self->stopped) self->accept();
  });
}

HttpServer::HttpServer(asio::io_context& io, HttpOptions options, HttpHandler handler)
    : impl_(std::make_shared<Impl>(io, std::move(options), std::move(handler))) {}

HttpServer::~HttpServer() { stop(); }

Status HttpServer::start() {
  beast::error_code error;
  const auto address = asio::ip::make_address(impl_->options.host, error);
  if (error) {
    return fail(ErrorCode::kInvalidArgument, "--host {} is no IP address (use 127.0.0.1, 0.0.0.0 or ::)",
                impl_->options.host);
  }
  const tcp::endpoint endpoint(address, impl_->options.port);
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error == asio::error::address_in_use) {
    return fail(ErrorCode::kUnavailable,
                "port {} on {} is in use: another exo may be running; stop it or choose another port with --port",
                impl_->options.port, impl_->options.host);
  }
  if (error) {
    return fail(ErrorCode::kUnavailable, "cannot listen on {}:{}: {}", impl_->options.host, impl_->options.port,
                error.message());
  }
  impl_->accept();
  return {};
}

void HttpServer::stop() {
  if (impl_->stopped) return;
  impl_->stopped = true;
  beast::error_code ignored;
  impl_->acceptor.close(ignored);
  impl_->pause.cancel();
  const auto sessions = impl_->sessions;
  for (const auto& session : sessions) session->close();
}

uint16_t HttpServer::port() const {
  beast::error_code ignored;
  return impl_->acceptor.local_endpoint(ignored).port();
}

}  // namespace exo::api
