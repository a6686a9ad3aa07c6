#include "api/errors.h"

#include <boost/json/serialize.hpp>

#include "text/utf8.h"

namespace exo::api {
namespace json = boost::json;

namespace {
struct Row {
  ErrorCode code;
  int status;
  std::string_view type, name;
};
constexpr Row kTable[] = {
    {ErrorCode::kInvalidArgument, 400, "invalid_request_error", "invalid_request"},
    {ErrorCode::kNotFound, 404, "invalid_request_error", "not_found"},
    {ErrorCode::kPermissionDenied, 401, "authentication_error", "invalid_api_key"},
    {ErrorCode::kCorrupt, 500, "server_error", "corrupt_model"},
    {ErrorCode::kUnsupported, 400, "invalid_request_error", "unsupported"},
    {ErrorCode::kResourceExhausted, 503, "server_error", "resource_exhausted"},
    {ErrorCode::kUnavailable, 503, "server_error", "unavailable"},
    {ErrorCode::kDeadlineExceeded, 504, "server_error", "deadline_exceeded"},
    {ErrorCode::kCancelled, 499, "invalid_request_error", "cancelled"},
    {ErrorCode::kInternal, 500, "server_error", "internal"},
};

const Row& row_of(ErrorCode code) {
  for (const auto& row : kTable) {
    if (row.code == code) return row;
  }
  return kTable[std::size(kTable) - 1];
}
}  // namespace

int http_status(ErrorCode code) { return row_of(code).status; }

json::object error_json(const Error& error, std::string_view parameter) {
  const auto& row = row_of(error.code);
  json::object body{{"message", text::replace_invalid_utf8(error.message)}, {"type", row.type}, {"code", row.name}};
  body["param"] = parameter.empty() ? json::value(nullptr) : json::value(parameter);
  return {{"error", std::move(body)}};
}

void send_error(HttpResponse& response, const Error& error, std::string_view parameter) {
  HttpResponse::Headers headers;
  if (http_status(error.code) == 401) headers.emplace_back("WWW-Authenticate", "Bearer");
  if (http_status(error.code) == 503) headers.emplace_back("Retry-After", "5");
  response.send(http_status(error.code), "application/json", json::serialize(error_json(error, parameter)),
                headers);
}

}  // namespace exo::api
