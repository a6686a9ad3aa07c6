#pragma once
// A model's own Jinja template: messages → prompt text, byte for byte as Python's jinja2 set up by Hugging Face
// transformers renders it.

#include <boost/json/value.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace exo::chat {

// What the template sees. JSON null where the caller has nothing.
struct TemplateInput {
  boost::json::value messages;   // array of {"role", "content", …}
  boost::json::value tools;      // array or null
  boost::json::value documents;  // array or null
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  boost::json::object kwargs;  // further variables (enable_thinking, …); they win over the names above
};

struct TemplateLimits {
  size_t max_template_bytes = 1 << 20;
  size_t max_output_bytes = 64 << 20;   // also of any one string on the way
  size_t max_memory_bytes = 256 << 20;  // of all values alive, the input's included
  uint64_t max_steps = 20'000'000;      // evaluated nodes: a bound on time
  int32_t max_depth = 200;              // nesting of expressions, macros and values
};

// Immutable after parse(); render() may be called from any thread that has 512 KiB of stack. Deeper nesting than
// 320 KiB of it allows is refused like the other limits (kResourceExhausted).
class ChatTemplate {
 public:
  static Result<ChatTemplate> parse(std::string_view source, const TemplateLimits& limits = {});
  // A template that calls raise_exception gives kInvalidArgument with its message. `now` feeds strftime_now (UTC).
  Result<std::string> render(const TemplateInput& input, std::chrono::system_clock::time_point now) const;
  // Any variables at all: for tests of single language features.
  Result<std::string> render_variables(const boost::json::object& variables,
                                       std::chrono::system_clock::time_point now) const;

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace exo::chat
