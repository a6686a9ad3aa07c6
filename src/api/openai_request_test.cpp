#include "api/openai_request.h"

#include <gtest/gtest.h>

namespace exo::api {
namespace {

std::string chat_with(const std::string& fields) {
  return R"({"messages": [{"role": "user", "content": "hi"}])" + (fields.empty() ? "" : ", " + fields) + "}";
}

TEST(ChatRequest, ReadsWhatClientsSend) {
  const auto request = parse_chat_request(chat_with(
      R"("model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_completion_tokens": 7, "temperature": 0,
         "top_p": 0.5, "stop": ["a", "b"], "seed": -1, "logit_bias": {"5": -100}, "logprobs": true, "top_logprobs": 3, "n": 2)"));
  ASSERT_TRUE(request) << request.error().error.message;
  EXPECT_EQ(request->model, "m");
  EXPECT_TRUE(request->stream && request->include_usage && request->has_seed);
  EXPECT_EQ(request->max_tokens, 7);
  EXPECT_EQ(request->sampler.temperature, 0);
  EXPECT_EQ(request->stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request->sampler.logit_bias.front(), std::make_pair(TokenId(5), -100.0f));
  EXPECT_EQ(request->sampler.top_log_probabilities, 3);
  EXPECT_EQ(request->n, 2);
}

TEST(ChatRequest, ContentPartsBecomeText) {
  const auto request = parse_chat_request(
      R"({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->messages.at(0).at("content"), "ab");
}

struct Refused {
  const char* fields;
  const char* parameter;
};

class ChatRequestRefuses : public testing::TestWithParam<Refused> {};

TEST_P(ChatRequestRefuses, NamesTheField) {
  const auto request = parse_chat_request(chat_with(GetParam().fields));
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().parameter, GetParam().parameter);
  EXPECT_FALSE(request.error().error.message.empty());
}

INSTANTIATE_TEST_SUITE_P(
    , ChatRequestRefuses,
    testing::Values(Refused{R"("temperature": "hot")", "temperature"},
                    Refused{R"("temperature": -1)", "temperature"}, Refused{R"("max_tokens": 0)", "max_tokens"},
                    Refused{R"("max_tokens": 1e99)", "max_tokens"}, Refused{R"("stop": [""])", "stop"},
                    Refused{R"("stop": 5)", "stop"}, Refused{R"("n": 1000)", "n"},
                    Refused{R"("seed": 1.5)", "seed"}, Refused{R"("logit_bias": {"x": 1})", "logit_bias"},
                    Refused{R"("stream": "yes")", "stream"},
                    Refused{R"("response_format": {"type": "json_object"})", "response_format"},
                    Refused{R"("tool_choice": "required")", "tool_choice"}, Refused{R"("tools": {})", "tools"},
                    Refused{R"("documents": "x")", "documents"}));

TEST(ChatRequest, RefusesWhatIsNoConversation) {
  for (const char* body : {"", "{", "[]", "null", "{}", R"({"messages": []})", R"({"messages": "x"})",
                           R"({"messages": [1]})", R"({"messages": [{"content": "x"}]})",
                           R"({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})"}) {
    EXPECT_FALSE(parse_chat_request(body)) << body;
  }
  EXPECT_FALSE(parse_chat_request("{\"messages\": " + std::string(100000, '[')));
}

TEST(CompletionRequest, PromptsComeInFourForms) {
  EXPECT_EQ(parse_completion_request(R"({"prompt": "a"})")->prompts.size(), 1u);
  EXPECT_EQ(parse_completion_request(R"({"prompt": ["a", "b"]})")->prompts.size(), 2u);
  EXPECT_EQ(parse_completion_request(R"({"prompt": [1, 2]})")->prompt_tokens.front(),
            (std::vector<TokenId>{TokenId(1), TokenId(2)}));
  EXPECT_EQ(parse_completion_request(R"({"prompt": [[1], [2]]})")->prompt_tokens.size(), 2u);
  EXPECT_EQ(parse_completion_request(R"({"prompt": "a"})")->max_tokens, 16);
  for (const char* body :
       {"{}", R"({"prompt": 5})", R"({"prompt": []})", R"({"prompt": [-1]})", R"({"prompt": [1, "a"]})"}) {
    EXPECT_FALSE(parse_completion_request(body)) << body;
  }
}

}  // namespace
}  // namespace exo::api
