#pragma once
// The tokenizer and chat template of a folder as keys of its GGUF view.

#include "base/result.h"
#include "convert/view_builder.h"

namespace exo::convert {

// tokenizer.huggingface.json and .config: the texts of tokenizer.json and tokenizer_config.json. Without a
// tokenizer.json the vocabulary of tokenizer.model, as tokenizer.ggml.*. tokenizer.chat_template:
// chat_template.jinja or what tokenizer_config.json has. The ids that begin and end a text, from
// generation_config.json or config.json. A folder without a tokenizer gets none of this.
Status put_tokenizer(ViewBuilder& view);

}  // namespace exo::convert
