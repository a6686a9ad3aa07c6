#pragma once
// A small HTTP/1.1 server on the network thread: requests are read whole (bounded), answers are sent whole or as a
// stream of chunks. Every wait has a deadline; a client that vanishes or does not read is noticed.

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace boost::asio {
class io_context;
}

namespace exo::api {

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // decoded, without query: "/v1/models/x"
  std::map<std::string, std::string, std::less<>> query;
  std::map<std::string, std::string, std::less<>> headers;  // names in lower case
  std::string body;
  std::string remote_address;

  std::string_view header(std::string_view lower_case_name) const;
};

// One answer. Exactly one of send() or start_stream()…end(); an answer dropped without either becomes a 500.
// Network thread only; may outlive its connection (then calls do nothing).
class HttpResponse {
 public:
  virtual ~HttpResponse() = default;
  using Headers = std::vector<std::pair<std::string, std::string>>;
  virtual void send(int status, std::string_view content_type, std::string body, const Headers& headers = {}) = 0;
  virtual void start_stream(int status, std::string_view content_type, const Headers& headers = {}) = 0;
  virtual void write(std::string chunk) = 0;
  virtual void end() = 0;
  virtual bool closed() const = 0;
  // Called once when the client goes away before the answer is complete.
  virtual void on_closed(std::function<void()> callback) = 0;
};

using HttpHandler = std::function<void(const HttpRequest&, std::shared_ptr<HttpResponse>)>;

struct HttpOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 52415;  // 0: any free one
  size_t max_header_bytes = 64 << 10;
  size_t max_body_bytes = 64 << 20;
  size_t max_connections = 1024;
  size_t max_pending_bytes = 32 << 20;  // unsent bytes of one stream; beyond it the client counts as gone
};

class HttpServer {
 public:
  HttpServer(boost::asio::io_context& io, HttpOptions options, HttpHandler handler);
  ~HttpServer();
  // Binds and listens. The error names the address and, when it is in use, says how to choose another.
  Status start();
  void stop();
  uint16_t port() const;  // the real one, after start()

  struct Impl;  // shared with the connections

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace exo::api
