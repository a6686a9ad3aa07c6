#include "api/completions.h"

#include <boost/json/serialize.hpp>
#include <random>

#include "api/answer.h"
#include "api/errors.h"
#include "api/openai_request.h"
#include "text/utf8.h"

namespace exo::api {
namespace json = boost::json;
using namespace std::chrono_literals;

namespace {

constexpr auto kKeepAlive = 5s;  // a comment line, so that proxies and clients see that the stream lives

std::string_view end_name(AnswerEnd end) { return end == AnswerEnd::kLength ? "length" : "stop"; }

json::object usage_json(int32_t prompt, int32_t cached, int32_t completion) {
  return {{"prompt_tokens", prompt},
          {"completion_tokens", completion},
          {"total_tokens", prompt + completion},
          {"prompt_tokens_details", json::object{{"cached_tokens", cached}}}};
}

json::value bytes_json(std::string_view piece) {
  json::array bytes;
  for (unsigned char byte : piece) bytes.push_back(byte);
  return bytes;
}

// One HTTP request: all its choices, gathered into one body or streamed as server-sent events.
class Exchange : public std::enable_shared_from_this<Exchange> {
 public:
  Exchange(const Services& services, CompletionRequest request, bool chat, std::shared_ptr<HttpResponse> response)
      : services_(services), request_(std::move(request)), chat_(chat), response_(std::move(response)) {}

  void run() {
    services_.models.find(request_.model, [self = shared_from_this()](Result<ServedModel> model) {
      if (!model) return self->fail_before_start(model.error(), "model");
      self->model_ = std::move(*model);
      if (auto started = self->start_choices(); !started)
        self->fail_before_start(started.error(), self->wrong_field_);
    });
  }

 private:
  struct Choice {
    std::string content, reasoning, echo;
    std::vector<SampledToken> tokens;
    RequestId id;
    bool finished = false, role_sent = false;
    AnswerEnd end = AnswerEnd::kStop;
  };

  Status start_choices() {
    std::vector<std::vector<TokenId>> prompts;
    std::optional<chat::ReasoningSplitter> reasoning;
    if (chat_) {
      EXO_TRY(prompts.emplace_back(), chat_prompt(reasoning));
    } else {
      for (const auto& text : request_.prompts)
        prompts.push_back(model_.text->tokenizer->encode(text, {true, false}));
      for (auto& tokens : request_.prompt_tokens) prompts.push_back(std::move(tokens));
    }
    for (const auto& prompt : prompts) EXO_CHECK_OK(check_tokens(prompt));
    response_->on_closed([self = shared_from_this()] { self->client_gone(); });
    if (!request_.has_seed)
      request_.sampler.seed = (uint64_t(std::random_device{}()) << 32) | std::random_device{}();
    created_ = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count();
    choices_.resize(prompts.size() * request_.n);
    for (size_t i = 0; i < choices_.size(); ++i) start_choice(i, prompts[i / request_.n], reasoning);
    if (request_.stream) keep_alive();
    return {};
  }

  Result<std::vector<TokenId>> chat_prompt(std::optional<chat::ReasoningSplitter>& reasoning) {
    chat::TemplateInput input;
    input.messages = request_.messages;
    input.tools = request_.tools;
    input.documents = request_.documents;
    input.bos_token = model_.text->bos_token;
    input.eos_token = model_.text->eos_token;
    input.kwargs = request_.template_kwargs;
    wrong_field_ = "messages";
    EXO_TRY(const std::string prompt, model_.text->chat_template->render(input, std::chrono::system_clock::now()));
    reasoning.emplace(model_.text->reasoning, prompt);
    // A template that writes the BOS itself must not get a second one from the tokenizer.
    const auto& bos = model_.text->bos_token;
    const bool add_special = bos.empty() || !prompt.starts_with(bos);
    auto tokens = model_.text->tokenizer->encode(prompt, {add_special, true});
    if (tokens.empty()) return fail(ErrorCode::kInvalidArgument, "the messages render to an empty prompt");
    return tokens;
  }

  Status check_tokens(const std::vector<TokenId>& prompt) {
    wrong_field_ = "prompt";
    if (prompt.empty()) return fail(ErrorCode::kInvalidArgument, "the prompt is empty");
    for (TokenId token : prompt) {
      if (token.value < 0 || token.value >= model_.facts.n_vocab) {
        return fail(ErrorCode::kInvalidArgument, "token id {} is outside the model's vocabulary of {}", token,
                    model_.facts.n_vocab);
      }
    }
    return {};
  }

  void start_choice(size_t index, const std::vector<TokenId>& prompt,
                    const std::optional<chat::ReasoningSplitter>& reasoning) {
    AnswerOptions options{request_.stop, reasoning, model_.text->reasoning_tokens};
    auto answer = std::make_shared<Answer>(
        model_.text->tokenizer, options,
        [self = shared_from_this(), index](AnswerDelta delta) { self->on_delta(index, std::move(delta)); },
        [self = shared_from_this(), index](AnswerEnd end, const std::optional<Error>& error,
                                           const serve::RequestUsage& usage) {
          self->on_end(index, end, error, usage);
        });
    serve::GenerateRequest generate;
    generate.fingerprint = model_.facts.fingerprint;
    generate.prompt = prompt;
    generate.max_new_tokens = request_.max_tokens;
    generate.sampler = request_.sampler;
    generate.sampler.seed += index;
    if (!request_.ignore_end) generate.stop_tokens = model_.text->tokenizer->special().end_of_generation;
    if (request_.echo && !chat_) {
      choices_[index].echo = model_.text->tokenizer->decode(prompt, false);
      choices_[index].content = choices_[index].echo;
    }
    choices_[index].id = services_.front.start(std::move(generate), answer);
    answer->set_cancel(
        [self = shared_from_this(), index] { self->services_.front.cancel(self->choices_[index].id); });
    if (index == 0) id_ = (chat_ ? "chatcmpl-" : "cmpl-") + choices_[0].id.hex();
  }

  void on_delta(size_t index, AnswerDelta delta) {
    auto& choice = choices_[index];
    if (request_.stream) return send_chunk(index, std::move(delta), std::nullopt);
    choice.content += delta.content;
    choice.reasoning += delta.reasoning;
    choice.tokens.insert(choice.tokens.end(), delta.tokens.begin(), delta.tokens.end());
  }

  void on_end(size_t index, AnswerEnd end, const std::optional<Error>& error, const serve::RequestUsage& usage) {
    auto& choice = choices_[index];
    choice.finished = true;
    choice.end = end;
    if (index % request_.n == 0) prompt_tokens_ += usage.prompt_tokens, cached_tokens_ += usage.cached_tokens;
    completion_tokens_ += usage.completion_tokens;
    if (done_) return;
    if (end == AnswerEnd::kError)
      return fail_all(error.value_or(Error{ErrorCode::kInternal, "the request failed"}));
    if (end == AnswerEnd::kCancelled) return fail_all({ErrorCode::kCancelled, "the request was cancelled"});
    if (request_.stream) send_chunk(index, {}, end);
    for (const auto& other : choices_) {
      if (!other.finished) return;
    }
    request_.stream ? finish_stream() : finish_body();
  }

  // ---- streaming

  void ensure_stream() {
    if (std::exchange(streaming_, true)) return;
    response_->start_stream(200, "text/event-stream");
  }

  void send_event(const json::value& value) {
    ensure_stream();
    response_->write("data: " + json::serialize(value) + "\n\n");
  }

  json::object envelope(bool chunk) const {
    return {{"id", id_},
            {"object", chat_ ? (chunk ? "chat.completion.chunk" : "chat.completion") : "text_completion"},
            {"created", created_},
            {"model", model_.facts.name}};
  }

  void send_chunk(size_t index, AnswerDelta delta, std::optional<AnswerEnd> end) {
    auto& choice = choices_[index];
    json::object entry{{"index", index},
                       {"finish_reason", end ? json::value(end_name(*end)) : json::value(nullptr)}};
    if (chat_) {
      json::object fields;
      if (!std::exchange(choice.role_sent, true)) fields["role"] = "assistant";
      if (!delta.content.empty() || fields.contains("role")) fields["content"] = delta.content;
      if (!delta.reasoning.empty()) fields["reasoning_content"] = delta.reasoning;
      entry["delta"] = std::move(fields);
    } else {
      entry["text"] = std::exchange(choice.echo, {}) + delta.content;
    }
    if (request_.sampler.top_log_probabilities >= 0) entry["logprobs"] = log_probabilities_json(delta.tokens);
    auto body = envelope(true);
    body["choices"] = json::array{std::move(entry)};
    send_event(body);
  }

  void finish_stream() {
    done_ = true;
    if (request_.include_usage) {
      auto body = envelope(true);
      body["choices"] = json::array{};
      body["usage"] = usage_json(prompt_tokens_, cached_tokens_, completion_tokens_);
      send_event(body);
    }
    ensure_stream();
    response_->write("data: [DONE]\n\n");
    end_response();
  }

  void keep_alive() {
    timer_ = services_.clock.run_after(kKeepAlive, [weak = weak_from_this()] {
      auto self = weak.lock();
      if (!self || self->done_) return;
      self->ensure_stream();
      self->response_->write(": keep-alive\n\n");
      self->keep_alive();
    });
  }

  // ---- one body

  void finish_body() {
    done_ = true;
    json::array entries;
    for (size_t i = 0; i < choices_.size(); ++i) {
      auto& choice = choices_[i];
      json::object entry{{"index", i}, {"finish_reason", end_name(choice.end)}};
      if (chat_) {
        json::object message{{"role", "assistant"}, {"content", choice.content}};
        if (!choice.reasoning.empty()) message["reasoning_content"] = choice.reasoning;
        entry["message"] = std::move(message);
      } else {
        entry["text"] = choice.content;
      }
      entry["logprobs"] = request_.sampler.top_log_probabilities >= 0 ? log_probabilities_json(choice.tokens)
                                                                      : json::value(nullptr);
      entries.push_back(std::move(entry));
    }
    auto body = envelope(false);
    body["choices"] = std::move(entries);
    body["usage"] = usage_json(prompt_tokens_, cached_tokens_, completion_tokens_);
    response_->send(200, "application/json", json::serialize(body));
    end_response();
  }

  json::value log_probabilities_json(const std::vector<SampledToken>& tokens) const {
    const auto& tokenizer = *model_.text->tokenizer;
    if (chat_) {
      json::array content;
      auto entry = [&](TokenId token, float log_probability) {
        const auto piece = tokenizer.piece(token, true);
        return json::object{{"token", text::replace_invalid_utf8(piece)},
                            {"logprob", log_probability},
                            {"bytes", bytes_json(piece)}};
      };
      for (const auto& token : tokens) {
        auto object = entry(token.token, token.log_probability);
        json::array top;
        for (const auto& [id, value] : token.alternatives) top.push_back(entry(id, value));
        object["top_logprobs"] = std::move(top);
        content.push_back(std::move(object));
      }
      return json::object{{"content", std::move(content)}};
    }
    json::array pieces, values, tops;
    for (const auto& token : tokens) {
      pieces.push_back(json::value(text::replace_invalid_utf8(tokenizer.piece(token.token, true))));
      values.push_back(token.log_probability);
      json::object top;
      for (const auto& [id, value] : token.alternatives)
        top[text::replace_invalid_utf8(tokenizer.piece(id, true))] = value;
      tops.push_back(std::move(top));
    }
    return json::object{
        {"tokens", std::move(pieces)}, {"token_logprobs", std::move(values)}, {"top_logprobs", std::move(tops)}};
  }

  // ---- ends that are no answers

  void fail_before_start(const Error& error, std::string_view parameter) {
    done_ = true;
    send_error(*response_, error, parameter);
  }

  void fail_all(const Error& error) {
    done_ = true;
    for (const auto& choice : choices_) {
      if (!choice.finished) services_.front.cancel(choice.id);
    }
    if (streaming_) {
      send_event(error_json(error));
      response_->write("data: [DONE]\n\n");
      end_response();
    } else {
      services_.clock.cancel(timer_);
      send_error(*response_, error);
    }
  }

  void client_gone() {
    if (done_) return;
    done_ = true;
    services_.clock.cancel(timer_);
    for (const auto& choice : choices_) {
      if (!choice.finished) services_.front.cancel(choice.id);
    }
  }

  void end_response() {
    services_.clock.cancel(timer_);
    response_->end();
  }

  const Services& services_;
  CompletionRequest request_;
  const bool chat_;
  std::shared_ptr<HttpResponse> response_;
  ServedModel model_;
  std::string wrong_field_;
  std::string id_;
  int64_t created_ = 0;
  std::vector<Choice> choices_;
  int32_t prompt_tokens_ = 0, cached_tokens_ = 0, completion_tokens_ = 0;
  net::TimerId timer_ = 0;
  bool streaming_ = false, done_ = false;
};

void answer_request(const Services& services, std::expected<CompletionRequest, RequestError> parsed, bool chat,
                    const std::shared_ptr<HttpResponse>& response) {
  if (!parsed) return send_error(*response, parsed.error().error, parsed.error().parameter);
  std::make_shared<Exchange>(services, std::move(*parsed), chat, response)->run();
}

}  // namespace

void post_chat_completions(const Services& services, const HttpRequest& request,
                           const std::shared_ptr<HttpResponse>& response) {
  answer_request(services, parse_chat_request(request.body), true, response);
}

void post_completions(const Services& services, const HttpRequest& request,
                      const std::shared_ptr<HttpResponse>& response) {
  answer_request(services, parse_completion_request(request.body), false, response);
}

}  // namespace exo::api
