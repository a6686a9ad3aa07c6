// Any bytes as a tokenizer.json: it must be refused, or give a tokenizer whose tokens are within its vocabulary and
// whose stream agrees with the whole. Behind a NUL byte: tokenizer_config.json.
#include <cstdlib>
#include <optional>

#include "text/huggingface_tokenizer.h"
#include "text/utf8.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace exo::text;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  std::optional<std::string_view> config;
  if (end != input.npos) config = input.substr(end + 1);
  auto loaded = load_tokenizer_json(input.substr(0, end), config);
  if (!loaded) return 0;
  const std::shared_ptr<const Tokenizer> tokenizer = std::move(*loaded);
  for (const std::string_view text :
       {std::string_view("Hello  wörld's 日本\t①12345 <s> ▁x\u0301 "), std::string_view("\x01\xFF ab\n\n<t>")}) {
    const auto tokens = tokenizer->encode(text, {.add_special = true, .parse_special = true});
    Detokenizer stream(tokenizer, true);
    std::string streamed;
    for (const auto token : tokens) {
      if (token.value < 0 || token.value >= tokenizer->vocabulary_size()) std::abort();
      streamed += stream.push(token);
    }
    if (streamed + stream.finish() != tokenizer->decode(tokens, true)) std::abort();
  }
  return 0;
}
