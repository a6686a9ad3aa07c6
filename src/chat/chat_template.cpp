#include "chat/chat_template.h"

#include "chat/jinja/interpreter.h"
#include "chat/jinja/parser.h"

namespace exo::chat {

struct ChatTemplate::Impl {
  jinja::Template source;
  TemplateLimits limits;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const TemplateLimits& limits) {
  EXO_TRY(jinja::Template parsed, jinja::parse_template(source, limits));
  return ChatTemplate(std::make_unique<Impl>(Impl{std::move(parsed), limits}));
}

Result<std::string> ChatTemplate::render(const TemplateInput& input,
                                         std::chrono::system_clock::time_point now) const {
  boost::json::object variables;
  variables["messages"] = input.messages;
  variables["tools"] = input.tools;
  variables["documents"] = input.documents;
  variables["add_generation_prompt"] = input.add_generation_prompt;
  variables["bos_token"] = input.bos_token;
  variables["eos_token"] = input.eos_token;
  for (const auto& [name, value] : input.kwargs) variables[name] = value;
  return render_variables(variables, now);
}

Result<std::string> ChatTemplate::render_variables(const boost::json::object& variables,
                                                   std::chrono::system_clock::time_point now) const {
  return jinja::render_template(impl_->source, impl_->limits, now, variables);
}

}  // namespace exo::chat
