#include "app/http_client.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include "app/version.h"

namespace exo::app {
namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

class Connection {
 public:
  Status open(const NodeUrl& url) {
    beast::error_code error;
    asio::ip::tcp::resolver resolver(io_);
    const auto endpoints = resolver.resolve(url.host, url.port, error);
    if (!error) stream_.connect(endpoints, error);
    if (error)
      return fail(ErrorCode::kUnavailable, "no exo node answers at {}:{} ({})", url.host, url.port,
                  error.message());
    return {};
  }

  Status send(const NodeUrl& url, http::verb verb, const std::string& path, const std::string& body,
              const std::string& api_key) {
    http::request<http::string_body> request(verb, path, 11);
    request.set(http::field::host, url.host + ":" + url.port);
    request.set(http::field::user_agent, fmt::format("exo/{}", kVersion));
    request.set(http::field::connection, "close");
    if (!api_key.empty()) request.set(http::field::authorization, "Bearer " + api_key);
    if (!body.empty()) request.set(http::field::content_type, "application/json");
    request.body() = body;
    request.prepare_payload();
    beast::error_code error;
    http::write(stream_, request, error);
    if (error) return fail(ErrorCode::kUnavailable, "the node closed the connection ({})", error.message());
    return {};
  }

  beast::tcp_stream& stream() { return stream_; }

 private:
  asio::io_context io_;
  beast::tcp_stream stream_{io_};
};

}  // namespace

Result<NodeUrl> parse_node_url(const std::string& text) {
  std::string_view rest = text;
  if (rest.starts_with("http://")) rest.remove_prefix(7);
  if (rest.starts_with("https://")) return fail(ErrorCode::kInvalidArgument, "a node's API speaks http, not https");
  rest = rest.substr(0, rest.find('/'));
  NodeUrl url;
  const auto colon = rest.rfind(':');
  const bool has_port = colon != std::string_view::npos && rest.find(']', colon) == std::string_view::npos;
  url.host = std::string(has_port ? rest.substr(0, colon) : rest);
  if (has_port) url.port = std::string(rest.substr(colon + 1));
  if (url.host.starts_with('[') && url.host.ends_with(']')) url.host = url.host.substr(1, url.host.size() - 2);
  if (url.host.empty() || url.port.empty() || url.port.find_first_not_of("0123456789") != std::string::npos) {
    return fail(ErrorCode::kInvalidArgument, "'{}' is no node address; write http://HOST:PORT", text);
  }
  return url;
}

Result<HttpAnswer> http_request(const NodeUrl& url, const std::string& method, const std::string& path,
                                const std::string& body, const std::string& api_key) {
  Connection connection;
  EXO_CHECK_OK(connection.open(url));
  EXO_CHECK_OK(connection.send(url, http::string_to_verb(method), path, body, api_key));
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(64 << 20);
  beast::error_code error;
  http::read(connection.stream(), buffer, parser, error);
  if (error) return fail(ErrorCode::kUnavailable, "the node's answer broke off ({})", error.message());
  return HttpAnswer{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

Result<HttpAnswer> http_stream_lines(const NodeUrl& url, const std::string& path, const std::string& body,
                                     const std::string& api_key,
                                     const std::function<bool(std::string_view)>& on_line) {
  Connection connection;
  EXO_CHECK_OK(connection.open(url));
  EXO_CHECK_OK(connection.send(url, http::verb::post, path, body, api_key));
  beast::flat_buffer buffer;
  http::response_parser<http::buffer_body> parser;
  parser.body_limit(boost::none);
  beast::error_code error;
  http::read_header(connection.stream(), buffer, parser, error);
  if (error) return fail(ErrorCode::kUnavailable, "the node's answer broke off ({})", error.message());

  HttpAnswer answer{static_cast<int>(parser.get().result_int()), {}};
  std::string pending;
  char chunk[8192];
  while (!parser.is_done()) {
    parser.get().body().data = chunk;
    parser.get().body().size = sizeof chunk;
    parser.get().body().more = true;
    http::read_some(connection.stream(), buffer, parser, error);
    const size_t got = sizeof chunk - parser.get().body().size;
    pending.append(chunk, got);
    if (error && error != http::error::need_buffer) {
      return fail(ErrorCode::kUnavailable, "the node's answer broke off ({})", error.message());
    }
    if (answer.status != 200) continue;
    for (size_t end; (end = pending.find('\n')) != std::string::npos; pending.erase(0, end + 1)) {
      if (!on_line(std::string_view(pending).substr(0, end))) return answer;
    }
  }
  answer.body = std::move(pending);
  return answer;
}

}  // namespace exo::app
