#pragma once
// The one table from error codes to what an HTTP client sees, and OpenAI's form of an error.

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "api/http_server.h"
#include "base/result.h"

namespace exo::api {

int http_status(ErrorCode code);

// {"error": {"message", "type", "param", "code"}}; `parameter` names the offending request field, or is empty.
boost::json::object error_json(const Error& error, std::string_view parameter = {});

void send_error(HttpResponse& response, const Error& error, std::string_view parameter = {});

}  // namespace exo::api
