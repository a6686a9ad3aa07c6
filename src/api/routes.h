#pragma once
// Every path that a node answers: who may ask, and which function answers.

#include <memory>

#include "api/http_server.h"
#include "api/services.h"

namespace exo::api {

// The handler for HttpServer. `services` outlives it.
//   GET  /                       the chat page
//   GET  /healthz                200 as soon as the node runs
//   GET  /v1/models[/NAME]       what the cluster offers, in OpenAI's form
//   POST /v1/chat/completions    OpenAI
//   POST /v1/completions         OpenAI
//   POST /v1/embeddings          OpenAI
//   POST /v1/rerank              as Jina and Cohere have it
//   GET  /v1/topology            the cluster as this node sees it
//   POST /v1/plan                {"model", "strategy", "context", "min_stages"} → the plan, nothing is changed
//   POST /v1/instances           the same body → loads the model so
//   DELETE /v1/instances/NAME    unloads it everywhere
HttpHandler make_routes(const Services& services);

}  // namespace exo::api
