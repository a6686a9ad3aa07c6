#pragma once
// GET /v1/trace/ID and GET /v1/requests: what requests did and do, on all nodes.

#include <memory>

#include "api/http_server.h"
#include "api/services.h"
#include "serve/timeline.h"

namespace exo::api {

// ID: of a completion ("chatcmpl-…"), bare, or "last": the latest that came to this node. `?format=text` is for
// people,
// `?format=chrome` for chrome://tracing and Perfetto.
void get_trace(const Services& services, const HttpRequest& request, const std::shared_ptr<HttpResponse>& response);
void get_requests(const Services& services, const std::shared_ptr<HttpResponse>& response);

// ---- pure
std::optional<RequestId> parse_request_id(std::string_view text);
std::string trace_json(const serve::Timeline& timeline);
std::string trace_chrome(const serve::Timeline& timeline);
std::string trace_text(const serve::Timeline& timeline);

}  // namespace exo::api
