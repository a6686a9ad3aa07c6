#include <cctype>
#include <fstream>
#include <iostream>

#include "app/commands.h"
#include "app/http_client.h"

namespace exo::app {
namespace {

Result<std::string> fetch(const NodeUrl& url, const TraceOptions& options, std::string_view format) {
  const auto path = fmt::format("/v1/trace/{}?format={}", options.request, format);
  EXO_TRY(auto answer, http_request(url, "GET", path, "", options.api_key));
  if (answer.status == 401)
    return fail(ErrorCode::kPermissionDenied, "the node at {}:{} asks for its API key (--api-key)", url.host,
                url.port);
  if (answer.status == 404) {
    return fail(ErrorCode::kNotFound, "no node remembers the request {}{}", options.request,
                options.request == "last" ? ": none came to this node yet" : "");
  }
  if (answer.status != 200)
    return fail(ErrorCode::kUnavailable, "HTTP {} from {}:{}: {}", answer.status, url.host, url.port, answer.body);
  return std::move(answer.body);
}

}  // namespace

Status run_trace(const TraceOptions& options) {
  EXO_TRY(const auto url, parse_node_url(options.url));
  for (const char c : options.request)
    if (!(std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_'))
      return fail(ErrorCode::kInvalidArgument, "'{}' is no request's id", options.request);
  EXO_TRY(const auto text, fetch(url, options, options.json ? "json" : "text"));
  std::cout << text << (options.json ? "\n" : "");
  if (options.chrome_file.empty()) return {};
  EXO_TRY(const auto chrome, fetch(url, options, "chrome"));
  std::ofstream file(options.chrome_file, std::ios::binary);
  if (!(file << chrome) || !file.flush())
    return fail(ErrorCode::kResourceExhausted, "cannot write {}", options.chrome_file);
  return {};
}

}  // namespace exo::app
