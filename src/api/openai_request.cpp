#include "api/openai_request.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>

#include "api/request_fields.h"

namespace exo::api {
namespace json = boost::json;

namespace {

constexpr size_t kMaxStops = 16;
constexpr size_t kMaxStopBytes = 4096;
constexpr int32_t kMaxChoices = 16;
constexpr int32_t kMaxTopLogProbabilities = 20;

void read_stops(Fields& fields, std::vector<std::string>& stops) {
  const auto* value = fields.get("stop");
  if (value == nullptr) return;
  auto add = [&](const json::value& stop) {
    if (!stop.is_string() || stop.as_string().empty() || stop.as_string().size() > kMaxStopBytes) {
      return fields.refuse("stop", "'stop' must be a non-empty string or a list of them");
    }
    stops.emplace_back(stop.as_string());
  };
  if (const auto* list = value->if_array()) {
    if (list->size() > kMaxStops)
      return fields.refuse("stop", fmt::format("'stop' may hold at most {} strings", kMaxStops));
    for (const auto& stop : *list) add(stop);
  } else {
    add(*value);
  }
}

void read_logit_bias(Fields& fields, SamplerSettings& sampler) {
  const auto* value = fields.get("logit_bias");
  if (value == nullptr) return;
  const auto* biases = value->if_object();
  if (biases == nullptr || biases->size() > 4096) {
    return fields.refuse("logit_bias",
                         "'logit_bias' must be an object of token id to bias, of at most 4096 entries");
  }
  for (const auto& [token, bias] : *biases) {
    int32_t id = 0;
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), id);
    json::error_code number_error;
    const double amount = bias.to_number<double>(number_error);
    if (error != std::errc() || end != token.data() + token.size() || id < 0 || number_error ||
        !(std::abs(amount) <= 100)) {
      return fields.refuse("logit_bias", "'logit_bias' maps token ids to numbers from -100 to 100");
    }
    sampler.logit_bias.emplace_back(TokenId(id), static_cast<float>(amount));
  }
}

void read_seed(Fields& fields, CompletionRequest& request) {
  const auto* value = fields.get("seed");
  if (value == nullptr) return;
  if (value->is_int64()) {
    request.sampler.seed = static_cast<uint64_t>(value->as_int64());
  } else if (value->is_uint64()) {
    request.sampler.seed = value->as_uint64();
  } else {
    return fields.refuse("seed", "'seed' must be a whole number");
  }
  request.has_seed = true;
}

// Fields that both forms share.
void read_common(Fields& fields, CompletionRequest& request) {
  fields.read("model", request.model);
  fields.read("stream", request.stream);
  if (const auto* options = fields.get("stream_options")) {
    if (const auto* object = options->if_object()) {
      Fields stream_fields(*object);
      stream_fields.read("include_usage", request.include_usage);
      if (stream_fields.error()) fields.refuse("stream_options", stream_fields.error()->error.message);
    } else {
      fields.refuse("stream_options", "'stream_options' must be an object");
    }
  }
  constexpr int64_t kMost = INT32_MAX;
  fields.read("max_tokens", request.max_tokens, 1, kMost);
  fields.read("max_completion_tokens", request.max_tokens, 1, kMost);
  fields.read("n", request.n, 1, kMaxChoices);
  fields.read("ignore_eos", request.ignore_end);
  auto& sampler = request.sampler;
  fields.read("temperature", sampler.temperature, 0, 10);
  fields.read("top_p", sampler.top_p, 0, 1);
  fields.read("min_p", sampler.min_p, 0, 1);
  fields.read("top_k", sampler.top_k, 0, kMost);
  fields.read("presence_penalty", sampler.presence_penalty, -10, 10);
  fields.read("frequency_penalty", sampler.frequency_penalty, -10, 10);
  fields.read("repetition_penalty", sampler.repetition_penalty, 0.01, 100);
  read_stops(fields, request.stop);
  read_logit_bias(fields, sampler);
  read_seed(fields, request);
}

void refuse_unsupported(Fields& fields) {
  if (const auto* format = fields.get("response_format")) {
    const auto* object = format->if_object();
    const auto* type = object != nullptr ? object->if_contains("type") : nullptr;
    if (type == nullptr || *type != "text") {
      fields.refuse("response_format",
                    "this version answers in plain text only: 'response_format' must be {\"type\": \"text\"}",
                    ErrorCode::kUnsupported);
    }
  }
  if (const auto* choice = fields.get("tool_choice"); choice != nullptr && *choice != "auto" && *choice != "none") {
    fields.refuse("tool_choice",
                  "this version cannot force a tool call: 'tool_choice' must be \"auto\" or \"none\"",
                  ErrorCode::kUnsupported);
  }
}

void read_messages(Fields& fields, CompletionRequest& request) {
  const auto* messages = fields.get("messages");
  const auto* list = messages != nullptr ? messages->if_array() : nullptr;
  if (list == nullptr || list->empty()) return fields.refuse("messages", "'messages' must be a non-empty list");
  for (size_t i = 0; i < list->size(); ++i) {
    const auto* message = (*list)[i].if_object();
    const auto* role = message != nullptr ? message->if_contains("role") : nullptr;
    if (role == nullptr || !role->is_string()) {
      return fields.refuse("messages", fmt::format("message {} must be an object with a 'role'", i));
    }
  }
  // Contents given as parts become plain text: templates of text models expect strings.
  auto copy = *list;
  for (auto& entry : copy) {
    auto* content = entry.as_object().if_contains("content");
    const auto* parts = content != nullptr ? content->if_array() : nullptr;
    if (parts == nullptr) continue;
    std::string text;
    for (const auto& part : *parts) {
      const auto* object = part.if_object();
      const auto* kind = object != nullptr ? object->if_contains("type") : nullptr;
      const auto* piece = object != nullptr ? object->if_contains("text") : nullptr;
      if (kind == nullptr || *kind != "text" || piece == nullptr || !piece->is_string()) {
        return fields.refuse("messages", "only content parts of type 'text' are understood",
                             ErrorCode::kUnsupported);
      }
      text += std::string_view(piece->as_string());
    }
    *content = text;
  }
  request.messages = std::move(copy);
}

void read_prompts(Fields& fields, CompletionRequest& request) {
  const auto* prompt = fields.get("prompt");
  if (prompt == nullptr) return fields.refuse("prompt", "'prompt' is missing");
  auto refuse = [&] { fields.refuse("prompt", "'prompt' must be a string, a list of strings, or token ids"); };
  auto read_tokens = [&](const json::array& list) {
    std::vector<TokenId> tokens;
    for (const auto& id : list) {
      json::error_code error;
      const auto number = id.to_number<int32_t>(error);
      if (error || number < 0) return refuse();
      tokens.emplace_back(number);
    }
    request.prompt_tokens.push_back(std::move(tokens));
  };
  if (prompt->is_string()) {
    request.prompts.emplace_back(prompt->as_string());
    return;
  }
  const auto* list = prompt->if_array();
  if (list == nullptr || list->empty() || list->size() > 1'000'000) return refuse();
  if (list->front().is_number()) return read_tokens(*list);
  for (const auto& entry : *list) {
    if (entry.is_string()) {
      request.prompts.emplace_back(entry.as_string());
    } else if (entry.is_array() && !entry.as_array().empty()) {
      read_tokens(entry.as_array());
    } else {
      return refuse();
    }
  }
  if (request.prompts.size() + request.prompt_tokens.size() > static_cast<size_t>(kMaxChoices)) {
    fields.refuse("prompt", fmt::format("at most {} prompts at once", kMaxChoices));
  }
}

std::expected<json::value, RequestError> parse_body(std::string_view body) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  auto value = json::parse(body, error, {}, options);
  if (error) {
    return std::unexpected(RequestError{
        {ErrorCode::kInvalidArgument, fmt::format("the body is not valid JSON: {}", error.message())}, ""});
  }
  if (!value.is_object()) {
    return std::unexpected(RequestError{{ErrorCode::kInvalidArgument, "the body must be a JSON object"}, ""});
  }
  return value;
}

}  // namespace

std::expected<CompletionRequest, RequestError> parse_chat_request(std::string_view body) {
  auto value = parse_body(body);
  if (!value) return std::unexpected(value.error());
  Fields fields(value->as_object());
  CompletionRequest request;
  read_common(fields, request);
  read_messages(fields, request);
  refuse_unsupported(fields);
  if (const auto* tools = fields.get("tools")) {
    if (!tools->is_array()) fields.refuse("tools", "'tools' must be a list");
    const auto* choice = fields.get("tool_choice");
    if (choice == nullptr || *choice != "none") request.tools = *tools;
  }
  if (const auto* documents = fields.get("documents")) {
    if (!documents->is_array()) fields.refuse("documents", "'documents' must be a list");
    request.documents = *documents;
  }
  if (const auto* kwargs = fields.get("chat_template_kwargs")) {
    if (!kwargs->is_object())
      fields.refuse("chat_template_kwargs", "'chat_template_kwargs' must be an object");
    else
      request.template_kwargs = kwargs->as_object();
  }
  bool log_probabilities = false;
  fields.read("logprobs", log_probabilities);
  if (log_probabilities) {
    request.sampler.top_log_probabilities = 0;
    fields.read("top_logprobs", request.sampler.top_log_probabilities, 0, kMaxTopLogProbabilities);
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

std::expected<CompletionRequest, RequestError> parse_completion_request(std::string_view body) {
  auto value = parse_body(body);
  if (!value) return std::unexpected(value.error());
  Fields fields(value->as_object());
  CompletionRequest request;
  request.max_tokens = 16;  // as OpenAI's completions do
  read_common(fields, request);
  read_prompts(fields, request);
  refuse_unsupported(fields);
  fields.read("echo", request.echo);
  if (const auto* suffix = fields.get("suffix"); suffix != nullptr) {
    fields.refuse("suffix", "'suffix' is not supported", ErrorCode::kUnsupported);
  }
  int32_t log_probabilities = -1;
  fields.read("logprobs", log_probabilities, 0, kMaxTopLogProbabilities);
  request.sampler.top_log_probabilities = log_probabilities;
  if (fields.error()) return std::unexpected(*fields.error());
  return request;
}

}  // namespace exo::api
