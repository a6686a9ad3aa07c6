#pragma once
// The published pre-tokenizer of every value of `tokenizer.ggml.pre`.

#include <span>
#include <string_view>

#include "text/pretokenizer.h"

namespace exo::text {

struct NamedPreTokenizer {
  std::span<const std::string_view> names;
  std::span<const std::string_view> expressions;  // applied one after the other, matches isolated
  bool ignore_merges = false;
  bool add_bos = false;   // where the file does not say
  bool nfc = false;       // the vendor's tokenizer composes characters first
  bool raw_utf8 = false;  // the vocabulary holds UTF-8 with ▁ for spaces, not the byte alphabet
};

// nullptr for a name that is not known. "" means "default".
const NamedPreTokenizer* find_pretokenizer(std::string_view name);
// A name of each that splits by these expressions, the one that most programs know.
std::vector<std::string_view> names_of_pretokenizers(std::span<const std::string> expressions);
Result<PreTokenizer> compile_pretokenizer(const NamedPreTokenizer& named);

// GPT-2's expression, which "ByteLevel" of Hugging Face's tokenizers means too.
extern const std::string_view kGpt2Expression;

}  // namespace exo::text
