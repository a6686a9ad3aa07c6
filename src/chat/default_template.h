#pragma once
// Templates for models that bring none.

namespace exo::chat {

// ChatML (`<|im_start|>role\n…<|im_end|>\n`): what most fine-tunes without a template were trained with.
const char* default_template_source();

// `[INST] … [/INST]` with the system prompt between `<<SYS>>` marks, as Llama 2 chat: for vocabularies that lack
// ChatML's control tokens. Refuses conversations whose roles do not alternate.
const char* llama2_template_source();

}  // namespace exo::chat
