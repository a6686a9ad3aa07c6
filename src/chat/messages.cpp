#include "chat/messages.h"

namespace exo::chat {

Result<std::string> render_chat(const ChatTemplate& chat_template, const TemplateInput& input) {
  const auto* messages = input.messages.if_array();
  if (!messages) return fail(ErrorCode::kInvalidArgument, "messages must be an array");
  for (size_t i = 0; i < messages->size(); ++i) {
    const auto* message = (*messages)[i].if_object();
    const auto* role = message ? message->if_contains("role") : nullptr;
    if (!role || !role->is_string()) return fail(ErrorCode::kInvalidArgument, "messages[{}] has no role", i);
  }
  return chat_template.render(input, std::chrono::system_clock::now());
}

}  // namespace exo::chat
