#pragma once
// From a conversation to the prompt text.

#include "chat/chat_template.h"

namespace exo::chat {

// The prompt of `input` by the model's template, at the present time. A conversation that the template refuses, or
// that is no array of objects with a role each, gives kInvalidArgument.
Result<std::string> render_chat(const ChatTemplate& chat_template, const TemplateInput& input);

}  // namespace exo::chat
