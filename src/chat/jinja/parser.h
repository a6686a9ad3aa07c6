#pragma once
// Tokens → syntax tree, by the grammar of jinja2 3.1 with loopcontrols and transformers' generation tag.

#include "chat/chat_template.h"
#include "chat/jinja/ast.h"

namespace exo::chat::jinja {

// Errors name the line. Inheritance and inclusion (extends, include, import) are refused as kUnsupported.
Result<Template> parse_template(std::string_view source, const TemplateLimits& limits);

}  // namespace exo::chat::jinja
