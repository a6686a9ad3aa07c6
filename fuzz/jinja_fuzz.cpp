// Any bytes as a chat template, rendered with a fixed conversation under low limits: no crash, no hang, no leak.
#include <boost/json.hpp>

#include "chat/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const boost::json::object variables =
      boost::json::parse(
          R"({"messages": [{"role": "system", "content": "S\n s"}, {"role": "user", "content": "h\u00e9llo", "n": 1},
              {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5]}}}]}],
              "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
              "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true, "n": 7, "f": -2.5,
              "l": [3, 1, 2], "d": {"b": 1, "a": "x"}, "s": " Some text, here "})")
          .as_object();
  exo::chat::TemplateLimits limits;
  limits.max_output_bytes = 1 << 18;
  limits.max_memory_bytes = 1 << 22;
  limits.max_steps = 50'000;
  auto parsed = exo::chat::ChatTemplate::parse(std::string_view(reinterpret_cast<const char*>(data), size), limits);
  if (!parsed) return 0;
  auto text = parsed->render_variables(variables,
                                       std::chrono::system_clock::time_point(std::chrono::seconds(1'721'995'200)));
  if (text && text->size() > limits.max_output_bytes) __builtin_trap();
  return 0;
}
