#pragma once
// `exo debug …`: checks of single layers against references. JSON lines in, JSON lines out; a line that cannot be
// answered gives {"error": …} and the next one goes on.

#include <iosfwd>
#include <string>
#include <vector>

#include "base/result.h"
#include "chat/text_model.h"
#include "formats/gguf.h"

namespace exo::app {

// {"text", "add_special", "parse_special"} → {"ids"}
Status debug_tokenize(const text::Tokenizer& tokenizer, std::istream& in, std::ostream& out);
// {"ids"} → {"text"}; special tokens are rendered when "render_special" is true
Status debug_detokenize(std::shared_ptr<const text::Tokenizer> tokenizer, std::istream& in, std::ostream& out);
// {"messages", "tools", "add_generation_prompt", "bos", "eos", "kwargs"} → {"rendered"} or {"error"}. The clock
// stands at 2024-07-26 12:00 UTC, so that results can be compared.
Status debug_template(const chat::ChatTemplate& chat_template, const std::string& bos, const std::string& eos,
                      std::istream& in, std::ostream& out);

struct DebugLogitsOptions {
  std::vector<int32_t> tokens;
  std::string out;
  int32_t greedy = 0, stages = 1, threads = 0;
  std::string kv_type = "F32";
  bool widen = false;  // weights as F32
};
// Writes f32 logits [n_tokens, n_vocab] little-endian to options.out; prints {"shape", "greedy"}.
Status debug_logits(std::shared_ptr<const formats::GgufFile> model, const DebugLogitsOptions& options,
                    std::ostream& out);

// Prints one JSON line per text: {"embedding", "n_tokens"}.
Status debug_embed(std::shared_ptr<const formats::GgufFile> model, const std::vector<std::string>& texts,
                   int32_t threads, std::ostream& out);

// Packed blocks of the file → f32 little-endian.
Status debug_dequantize(const std::string& type, const std::string& in, const std::string& out);

}  // namespace exo::app
