#pragma once
// The body of POST /v1/chat/completions and /v1/completions, checked field by field. What exo cannot do is refused
// by name, never ignored. Format: https://platform.openai.com/docs/api-reference/chat/create

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/sampler_settings.h"

namespace exo::api {

struct CompletionRequest {
  std::string model;
  boost::json::value messages;                      // chat
  boost::json::value tools;                         // chat; null when absent
  boost::json::value documents;                     // chat: for the template; null when absent
  boost::json::object template_kwargs;              // chat: "chat_template_kwargs"
  std::vector<std::string> prompts;                 // completions, as text …
  std::vector<std::vector<TokenId>> prompt_tokens;  // … or as ids
  bool echo = false;
  bool stream = false, include_usage = false;
  int32_t max_tokens = 0;  // 0: until the model ends or the context is full
  int32_t n = 1;
  std::vector<std::string> stop;
  bool ignore_end = false;  // "ignore_eos": go on after end-of-generation tokens (benchmarks)
  bool has_seed = false;
  SamplerSettings sampler;
};

// A refused field: `parameter` is its name.
struct RequestError {
  Error error;
  std::string parameter;
};

std::expected<CompletionRequest, RequestError> parse_chat_request(std::string_view body);
std::expected<CompletionRequest, RequestError> parse_completion_request(std::string_view body);

}  // namespace exo::api
