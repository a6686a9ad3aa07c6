#pragma once
// POST /v1/chat/completions and POST /v1/completions.
// Format: https://platform.openai.com/docs/api-reference/chat and …/completions

#include <memory>

#include "api/http_server.h"
#include "api/services.h"

namespace exo::api {

void post_chat_completions(const Services& services, const HttpRequest& request,
                           const std::shared_ptr<HttpResponse>& response);
void post_completions(const Services& services, const HttpRequest& request,
                      const std::shared_ptr<HttpResponse>& response);

}  // namespace exo::api
