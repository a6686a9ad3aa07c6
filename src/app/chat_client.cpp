#include "app/chat_client.h"

#include <unistd.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <iostream>

#include "base/printable.h"

namespace exo::app {
namespace json = boost::json;

namespace {

struct Turn {
  std::string answer;
  std::string error;
  int64_t tokens = 0;
  double first_token_s = 0, total_s = 0;
};

std::string error_message(std::string_view body) {
  json::error_code error;
  const auto value = json::parse(body, error);
  if (!error && value.is_object()) {
    const auto* inner = value.as_object().if_contains("error");
    const auto* message =
        inner != nullptr && inner->is_object() ? inner->as_object().if_contains("message") : nullptr;
    if (message != nullptr && message->is_string()) return std::string(message->as_string());
  }
  return std::string(body);
}

// One server-sent event into the turn; prints what is new.
void take_event(std::string_view data, Turn& turn, std::chrono::steady_clock::time_point start) {
  json::error_code error;
  const auto value = json::parse(data, error);
  const auto* event = error ? nullptr : value.if_object();
  if (event == nullptr) return;
  if (event->contains("error")) turn.error = error_message(data);
  if (const auto* usage = event->if_contains("usage"); usage != nullptr && usage->is_object()) {
    turn.tokens = usage->as_object().at("completion_tokens").to_number<int64_t>(error);
  }
  const auto* choices = event->if_contains("choices");
  if (choices == nullptr || !choices->is_array() || choices->as_array().empty()) return;
  const auto* delta = choices->as_array()[0].as_object().if_contains("delta");
  if (delta == nullptr || !delta->is_object()) return;
  for (const char* field : {"reasoning_content", "content"}) {
    const auto* text = delta->as_object().if_contains(field);
    if (text == nullptr || !text->is_string() || text->as_string().empty()) continue;
    if (turn.first_token_s == 0)
      turn.first_token_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    std::fwrite(text->as_string().data(), 1, text->as_string().size(), stdout);
    std::fflush(stdout);
    if (std::string_view(field) == "content") turn.answer += text->as_string();
  }
}

Turn ask(const NodeUrl& url, const ChatOptions& options, const json::array& messages) {
  json::object body{{"model", options.model},
                    {"messages", messages},
                    {"stream", true},
                    {"stream_options", {{"include_usage", true}}}};
  if (options.temperature >= 0) body["temperature"] = options.temperature;
  if (options.max_tokens > 0) body["max_tokens"] = options.max_tokens;
  if (!options.seed.empty()) body["seed"] = std::strtoll(options.seed.c_str(), nullptr, 10);
  Turn turn;
  const auto start = std::chrono::steady_clock::now();
  const auto answer = http_stream_lines(url, "/v1/chat/completions", json::serialize(body), options.api_key,
                                        [&](std::string_view line) {
                                          if (line.starts_with("data: ") && line != "data: [DONE]")
                                            take_event(line.substr(6), turn, start);
                                          return true;
                                        });
  turn.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!answer)
    turn.error = answer.error().message;
  else if (answer->status != 200)
    turn.error = error_message(answer->body);
  std::fputs("\n", stdout);
  return turn;
}

bool show(const Turn& turn, const ChatOptions& options) {
  if (!turn.error.empty()) {
    std::fprintf(stderr, "exo: %s\n", printable(turn.error).c_str());
    return false;
  }
  const double decode_s = turn.total_s - turn.first_token_s;
  if (options.show_speed && isatty(STDERR_FILENO) && turn.tokens > 1 && decode_s > 0) {
    std::fprintf(stderr, "[%lld tokens, first after %.0f ms, %.1f tokens/s]\n", static_cast<long long>(turn.tokens),
                 turn.first_token_s * 1e3, static_cast<double>(turn.tokens - 1) / decode_s);
  }
  return true;
}

}  // namespace

int run_chat(const NodeUrl& url, const ChatOptions& options) {
  json::array messages;
  if (!options.system.empty()) messages.push_back(json::object{{"role", "system"}, {"content", options.system}});
  auto turn_with = [&](const std::string& text) {
    messages.push_back(json::object{{"role", "user"}, {"content", text}});
    const auto turn = ask(url, options, messages);
    messages.push_back(json::object{{"role", "assistant"}, {"content", turn.answer}});
    return show(turn, options);
  };
  if (!options.prompt.empty()) return turn_with(options.prompt) ? 0 : 1;

  const bool terminal = isatty(STDIN_FILENO) != 0;
  if (terminal)
    std::fprintf(stderr, "Talking to %s. Ctrl-D ends, /new starts over.\n",
                 options.model.empty() ? "the default model" : options.model.c_str());
  bool good = true;
  for (std::string line;;) {
    if (terminal) std::fputs("\n> ", stderr);
    if (!std::getline(std::cin, line)) break;
    if (line == "/new") {
      messages.clear();
      continue;
    }
    if (!line.empty()) good = turn_with(line) && good;
  }
  return good ? 0 : 1;
}

}  // namespace exo::app
