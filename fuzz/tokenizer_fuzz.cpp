// Texts from the fuzzer through both kinds of tokenizers: encoding must take any bytes, and what it gives must
// decode to the same text wherever the input was valid UTF-8 without added tokens; the stream must agree with the
// whole.
#include <cstdlib>
#include <string>

#include "text/tiny_vocabulary.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace {

std::shared_ptr<const exo::text::Tokenizer> load(exo::formats::GgufMetadata metadata, const char* pre) {
  metadata.values["tokenizer.ggml.pre"] = std::string(pre);
  auto tokenizer = exo::text::load_tokenizer(metadata);
  if (!tokenizer) std::abort();
  return std::move(*tokenizer);
}

void check(const std::shared_ptr<const exo::text::Tokenizer>& tokenizer, std::string_view text) {
  using namespace exo::text;
  (void)tokenizer->encode(text, {.add_special = true, .parse_special = true});
  const auto tokens = tokenizer->encode(text, {.add_special = false});
  const std::string decoded = tokenizer->decode(tokens, true);
  const bool plain = text.find("<tool>") == text.npos && text.find("\n\n") == text.npos;
  const bool ambiguous = tokenizer->strips_leading_space() && text.find("▁") != text.npos;
  if (plain && !ambiguous && decoded != replace_invalid_utf8(text)) std::abort();
  Detokenizer stream(tokenizer, true);
  std::string streamed;
  for (const auto token : tokens) {
    const std::string now = stream.push(token);
    if (!is_valid_utf8(now)) std::abort();
    streamed += now;
  }
  if (streamed + stream.finish() != decoded) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace exo::text;
  static const auto tokenizers = {load(tiny_spm_metadata(), "default"),   load(tiny_bpe_metadata(), "gpt-2"),
                                  load(tiny_bpe_metadata(), "llama-bpe"), load(tiny_bpe_metadata(), "deepseek-v3"),
                                  load(tiny_bpe_metadata(), "gpt-4o"),    load(tiny_bpe_metadata(), "kimi-k2")};
  for (const auto& tokenizer : tokenizers) check(tokenizer, {reinterpret_cast<const char*>(data), size});
  return 0;
}
