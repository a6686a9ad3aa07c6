#include "api/embeddings_request.h"

#include <gtest/gtest.h>

namespace exo::api {
namespace {

TEST(EmbeddingRequest, EveryFormOfInput) {
  const auto one = parse_embedding_request(R"({"model": "m", "input": "text"})");
  ASSERT_TRUE(one) << one.error().error.message;
  EXPECT_EQ(one->model, "m");
  ASSERT_EQ(one->inputs.size(), 1u);
  EXPECT_EQ(std::get<std::string>(one->inputs[0]), "text");
  EXPECT_FALSE(one->base64);
  EXPECT_EQ(one->dimensions, 0);

  const auto two =
      parse_embedding_request(R"({"input": ["a", [1, 2]], "encoding_format": "base64", "dimensions": 8})");
  ASSERT_TRUE(two) << two.error().error.message;
  EXPECT_EQ(std::get<std::vector<TokenId>>(two->inputs[1]), (std::vector<TokenId>{TokenId(1), TokenId(2)}));
  EXPECT_TRUE(two->base64);
  EXPECT_EQ(two->dimensions, 8);

  const auto tokens = parse_embedding_request(R"({"input": [5, 6, 7]})");
  ASSERT_TRUE(tokens);
  ASSERT_EQ(tokens->inputs.size(), 1u);
  EXPECT_EQ(std::get<std::vector<TokenId>>(tokens->inputs[0]).size(), 3u);
}

TEST(EmbeddingRequest, NamesTheWrongField) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[]", ""},
      {"{", ""},
      {"{}", "input"},
      {R"({"input": []})", "input"},
      {R"({"input": [[]]})", "input"},
      {R"({"input": [1, "a"]})", "input"},
      {R"({"input": [-1]})", "input"},
      {R"({"input": [1.5]})", "input"},
      {R"({"input": {}})", "input"},
      {R"({"input": "a", "dimensions": 0})", "dimensions"},
      {R"({"input": "a", "encoding_format": "x"})", "encoding_format"},
      {R"({"input": "a", "model": 1})", "model"}};
  for (const auto& [body, field] : wrong) {
    const auto request = parse_embedding_request(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().parameter, field) << body;
  }
}

TEST(RerankRequest, ReadsAndRefuses) {
  const auto request = parse_rerank_request(
      R"({"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "return_documents": true})");
  ASSERT_TRUE(request) << request.error().error.message;
  EXPECT_EQ(request->documents, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request->top_n, 1);
  EXPECT_TRUE(request->return_documents);
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"documents": ["a"]})", "query"},
      {R"({"query": "q"})", "documents"},
      {R"({"query": "q", "documents": []})", "documents"},
      {R"({"query": "q", "documents": [1]})", "documents"},
      {R"({"query": "q", "documents": ["a"], "top_n": 0})", "top_n"}};
  for (const auto& [body, field] : wrong) {
    const auto refused = parse_rerank_request(body);
    ASSERT_FALSE(refused) << body;
    EXPECT_EQ(refused.error().parameter, field) << body;
  }
}

}  // namespace
}  // namespace exo::api
