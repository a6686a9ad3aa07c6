#pragma once
// The tokenizer of a Hugging Face folder in the keys that GGUF has for tokenizers, for programs that know only
// those. Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"

namespace exo::text {

struct GgufTokenizer {
  std::string model;  // "gpt2" or "llama"
  std::string pre;    // of "gpt2"
  std::vector<std::string> tokens;
  std::vector<int32_t> types;  // TokenType
  std::vector<float> scores;   // of "llama"
  std::vector<std::string> merges;
  std::optional<TokenId> bos, eos, unknown, padding;
  bool adds_bos = false, adds_eos = false;
  std::optional<bool> space_prefix;

  formats::GgufMetadata metadata() const;
  // Keys that `known` has are left as they are.
  void put(formats::GgufWriter& writer, const formats::GgufMetadata& known) const;
};

// Of tokenizer.huggingface.json and .config. The vocabulary is filled up to `rows` tokens, which the embedding of a
// model may have more of. nullopt: the file has no such tokenizer, or has other keys already, or it is of a kind
// that these keys do not describe: byte-level BPE with a split of a known name and SentencePiece's BPE
// are. What is returned was compared: read back, it gives the same tokens for texts of many kinds.
std::optional<GgufTokenizer> export_tokenizer(const formats::GgufMetadata& metadata, size_t rows);

}  // namespace exo::text
