#pragma once
// What the command line needs to talk to a running node: one blocking request at a time.

#include <functional>
#include <string>

#include "base/result.h"

namespace exo::app {

struct NodeUrl {
  std::string host = "127.0.0.1";
  std::string port = "52415";
};

// "http://127.0.0.1:52415", "192.168.1.7:52415", "box.local"
Result<NodeUrl> parse_node_url(const std::string& text);

struct HttpAnswer {
  int status = 0;
  std::string body;
};

// kUnavailable when nobody listens there.
Result<HttpAnswer> http_request(const NodeUrl& url, const std::string& method, const std::string& path,
                                const std::string& body, const std::string& api_key);

// As above, but calls `on_line` for every line of the body as it arrives; false from it ends the request early.
// The body of an answer whose status is not 200 is returned instead.
Result<HttpAnswer> http_stream_lines(const NodeUrl& url, const std::string& path, const std::string& body,
                                     const std::string& api_key,
                                     const std::function<bool(std::string_view)>& on_line);

}  // namespace exo::app
