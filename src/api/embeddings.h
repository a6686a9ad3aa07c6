#pragma once
// POST /v1/embeddings (OpenAI's) and POST /v1/rerank (as Jina and Cohere have it). The whole model runs on the node
// that was asked.

#include <memory>

#include "api/http_server.h"
#include "api/services.h"

namespace exo::api {

void post_embeddings(const Services& services, const HttpRequest& request,
                     const std::shared_ptr<HttpResponse>& response);
void post_rerank(const Services& services, const HttpRequest& request,
                 const std::shared_ptr<HttpResponse>& response);

}  // namespace exo::api
