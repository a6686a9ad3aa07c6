#include "api/embeddings_request.h"

#include <boost/json/parse.hpp>

#include "api/request_fields.h"

namespace exo::api {
namespace json = boost::json;

namespace {

constexpr size_t kMaxInputs = 2048;
constexpr size_t kMaxInputTokens = 1 << 20;

RequestError no_object(std::string_view fields) {
  return {{ErrorCode::kInvalidArgument, fmt::format("the body must be a JSON object with {}", fields)}, ""};
}

// A list of token ids; nothing when it is something else.
std::optional<std::vector<TokenId>> tokens_of(const json::array& list) {
  if (list.empty() || list.size() > kMaxInputTokens) return std::nullopt;
  std::vector<TokenId> tokens;
  tokens.reserve(list.size());
  for (const auto& value : list) {
    json::error_code error;
    const auto id = value.to_number<int32_t>(error);
    if (error || id < 0) return std::nullopt;
    tokens.emplace_back(id);
  }
  return tokens;
}

void read_inputs(Fields& fields, EmbeddingRequest& request) {
  constexpr std::string_view kForm = "'input' must be a string, a list of strings, or (lists of) token ids";
  const auto* input = fields.get("input");
  if (input == nullptr) return fields.refuse("input", "'input' is missing");
  const auto add = [&](const json::value& value) {
    if (value.is_string()) {
      request.inputs.emplace_back(std::string(value.as_string()));
    } else if (auto tokens = value.is_array() ? tokens_of(value.as_array()) : std::nullopt) {
      request.inputs.emplace_back(std::move(*tokens));
    } else {
      fields.refuse("input", std::string(kForm));
    }
  };
  const auto* list = input->if_array();
  if (list == nullptr || (!list->empty() && list->front().is_number())) return add(*input);
  if (list->empty()) return fields.refuse("input", "'input' is an empty list");
  if (list->size() > kMaxInputs)
    return fields.refuse("input", fmt::format("'input' may hold at most {} texts", kMaxInputs));
  for (const auto& value : *list) add(value);
}

void read_documents(Fields& fields, RerankRequest& request) {
  const auto* value = fields.get("documents");
  const auto* list = value == nullptr ? nullptr : value->if_array();
  if (list == nullptr || list->empty() || list->size() > kMaxInputs)
    return fields.refuse("documents", fmt::format("'documents' must be a list of 1 to {} texts", kMaxInputs));
  for (const auto& document : *list) {
    const auto* object = document.if_object();
    const auto* text = object != nullptr ? object->if_contains("text") : &document;
    if (text == nullptr || !text->is_string())
      return fields.refuse("documents", "each of 'documents' must be a string or {\"text\": string}");
    request.documents.emplace_back(text->as_string());
  }
}

}  // namespace

std::expected<EmbeddingRequest, RequestError> parse_embedding_request(std::string_view body) {
  json::error_code error;
  const auto value = json::parse(body, error);
  if (error || !value.is_object()) return std::unexpected(no_object("'input'"));
  Fields fields(value.get_object());
  EmbeddingRequest request;
  fields.read("model", request.model);
  read_inputs(fields, request);
  std::string format = "float";
  fields.read("encoding_format", format);
  if (format != "float" && format != "base64")
    fields.refuse("encoding_format", "'encoding_format' must be 'float' or 'base64'");
  request.base64 = format == "base64";
  fields.read("dimensions", request.dimensions, 1, 1 << 20);
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

std::expected<RerankRequest, RequestError> parse_rerank_request(std::string_view body) {
  json::error_code error;
  const auto value = json::parse(body, error);
  if (error || !value.is_object()) return std::unexpected(no_object("'query' and 'documents'"));
  Fields fields(value.get_object());
  RerankRequest request;
  fields.read("model", request.model);
  if (fields.get("query") == nullptr) fields.refuse("query", "'query' is missing");
  fields.read("query", request.query);
  read_documents(fields, request);
  fields.read("top_n", request.top_n, 1, 1 << 20);
  fields.read("return_documents", request.return_documents);
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

}  // namespace exo::api
