#pragma once
// The bodies of POST /v1/embeddings and /v1/rerank, checked field by field.
// Formats: https://platform.openai.com/docs/api-reference/embeddings/create, https://jina.ai/reranker

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "api/openai_request.h"

namespace exo::api {

struct EmbeddingRequest {
  std::string model;
  std::vector<std::variant<std::string, std::vector<TokenId>>> inputs;  // at least one
  bool base64 = false;                                                  // f32 little-endian, else JSON numbers
  int32_t dimensions = 0;                                               // 0: all that the model makes
};

struct RerankRequest {
  std::string model, query;
  std::vector<std::string> documents;  // at least one
  int32_t top_n = 0;                   // 0: all
  bool return_documents = false;
};

std::expected<EmbeddingRequest, RequestError> parse_embedding_request(std::string_view body);
std::expected<RerankRequest, RequestError> parse_rerank_request(std::string_view body);

}  // namespace exo::api
