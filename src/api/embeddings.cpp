#include "api/embeddings.h"

#include <algorithm>
#include <bit>
#include <boost/json/serialize.hpp>
#include <cmath>

#include "api/embeddings_request.h"
#include "api/errors.h"
#include "base/base64.h"
#include "chat/rerank_prompt.h"

namespace exo::api {
namespace json = boost::json;

namespace {

using Response = std::shared_ptr<HttpResponse>;
using Texts = std::vector<std::vector<TokenId>>;

static_assert(std::endian::native == std::endian::little);

void send_json(HttpResponse& response, const json::value& value) {
  response.send(200, "application/json", json::serialize(value));
}

int64_t count_tokens(const Texts& texts) {
  int64_t total = 0;
  for (const auto& text : texts) total += static_cast<int64_t>(text.size());
  return total;
}

json::object usage_json(int64_t tokens) { return {{"prompt_tokens", tokens}, {"total_tokens", tokens}}; }

// The first numbers of models that were trained to be cut (Kusupati et al. 2022), of length 1 again.
Status shorten(std::vector<float>& vector, int32_t dimensions) {
  if (dimensions == 0) return {};
  if (static_cast<size_t>(dimensions) > vector.size())
    return fail(ErrorCode::kInvalidArgument, "the model makes {} dimensions, not {}", vector.size(), dimensions);
  vector.resize(static_cast<size_t>(dimensions));
  double square = 0;
  for (const float x : vector) square += static_cast<double>(x) * x;
  const auto length = static_cast<float>(std::sqrt(square));
  for (float& x : vector) x = length > 0 ? x / length : 0.0f;
  return {};
}

json::value vector_json(const std::vector<float>& vector, bool base64) {
  if (base64)
    return json::value(
        encode_base64({reinterpret_cast<const char*>(vector.data()), vector.size() * sizeof(float)}));
  return json::array(vector.begin(), vector.end());
}

void answer_embeddings(const EmbeddingRequest& request, const std::string& model, const Texts& texts,
                       std::vector<std::vector<float>> vectors, HttpResponse& response) {
  json::array data;
  for (auto& vector : vectors) {
    if (auto cut = shorten(vector, request.dimensions); !cut)
      return send_error(response, cut.error(), "dimensions");
    const auto index = static_cast<int64_t>(data.size());
    data.push_back(json::object{
        {"object", "embedding"}, {"index", index}, {"embedding", vector_json(vector, request.base64)}});
  }
  send_json(response, json::object{{"object", "list"},
                                   {"data", std::move(data)},
                                   {"model", model},
                                   {"usage", usage_json(count_tokens(texts))}});
}

void answer_rerank(const RerankRequest& request, const std::string& model, const Texts& texts,
                   const std::vector<float>& scores, HttpResponse& response) {
  std::vector<size_t> order(scores.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return scores[a] > scores[b]; });
  if (request.top_n > 0 && static_cast<size_t>(request.top_n) < order.size())
    order.resize(static_cast<size_t>(request.top_n));
  json::array results;
  for (const size_t i : order) {
    json::object result{{"index", i}, {"relevance_score", scores[i]}};
    if (request.return_documents) result["document"] = json::object{{"text", request.documents[i]}};
    results.push_back(std::move(result));
  }
  send_json(
      response,
      json::object{{"model", model}, {"results", std::move(results)}, {"usage", usage_json(count_tokens(texts))}});
}

Texts tokens_of(const EmbeddingRequest& request, const text::Tokenizer& tokenizer) {
  Texts texts;
  for (const auto& input : request.inputs) {
    if (const auto* given = std::get_if<std::vector<TokenId>>(&input))
      texts.push_back(*given);
    else
      texts.push_back(tokenizer.encode(std::get<std::string>(input), {.add_special = true}));
  }
  return texts;
}

Error no_embeddings() { return {ErrorCode::kUnsupported, "this node makes no embeddings"}; }

}  // namespace

void post_embeddings(const Services& services, const HttpRequest& http, const Response& response) {
  if (services.embeddings == nullptr) return send_error(*response, no_embeddings());
  auto parsed = parse_embedding_request(http.body);
  if (!parsed) return send_error(*response, parsed.error().error, parsed.error().parameter);
  auto request = std::make_shared<const EmbeddingRequest>(std::move(*parsed));
  services.models.find(request->model, [&services, request, response](Result<ServedModel> model) {
    if (!model) return send_error(*response, model.error(), "model");
    auto texts = std::make_shared<const Texts>(tokens_of(*request, *model->text->tokenizer));
    services.embeddings->embed(model->facts.fingerprint, texts,
                               [request, response, texts, name = model->facts.name](auto vectors) {
                                 if (!vectors) return send_error(*response, vectors.error(), "input");
                                 answer_embeddings(*request, name, *texts, std::move(*vectors), *response);
                               });
  });
}

void post_rerank(const Services& services, const HttpRequest& http, const Response& response) {
  if (services.embeddings == nullptr) return send_error(*response, no_embeddings());
  auto parsed = parse_rerank_request(http.body);
  if (!parsed) return send_error(*response, parsed.error().error, parsed.error().parameter);
  auto request = std::make_shared<const RerankRequest>(std::move(*parsed));
  services.models.find(request->model, [&services, request, response](Result<ServedModel> model) {
    if (!model) return send_error(*response, model.error(), "model");
    Texts pairs;
    for (const auto& document : request->documents)
      pairs.push_back(chat::rerank_tokens(*model->text, request->query, document));
    auto texts = std::make_shared<const Texts>(std::move(pairs));
    services.embeddings->rank(model->facts.fingerprint, texts,
                              [request, response, texts, name = model->facts.name](auto scores) {
                                if (!scores) return send_error(*response, scores.error(), "documents");
                                answer_rerank(*request, name, *texts, *scores, *response);
                              });
  });
}

}  // namespace exo::api
