#include "model/synthetic_vocabulary.h"

#include <string>
#include <vector>

#include "base/check.h"

namespace exo::model {
namespace {

constexpr int32_t kNormal = 1, kControl = 3;  // tokenizer.ggml.token_type

std::string utf8(uint32_t code) {
  if (code < 0x80) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xC0 | code >> 6), static_cast<char>(0x80 | (code & 0x3F))};
}

// GPT-2's alphabet: printable Latin-1 bytes stand for themselves, the others for the code points from 256 on.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    tokens.push_back(utf8(printable ? byte : next++));
  }
  return tokens;
}

// " rokuna": a space and three syllables, another one for each index below a million.
std::string word(int32_t index) {
  constexpr std::string_view kConsonants = "bcdfghjklmnprstvwxyz", kVowels = "aeiou";
  std::string out = "\xC4\xA0";  // the alphabet's space
  for (int syllable = 0; syllable < 3; ++syllable, index /= 100) {
    out += kConsonants[static_cast<size_t>(index) % 20];
    out += kVowels[static_cast<size_t>(index) / 20 % 5];
  }
  return out;
}

constexpr std::string_view kSpecialNames[] = {"<|begin_of_text|>",
                                              "<|end_of_text|>",
                                              "<|reserved_special_token_0|>",
                                              "<|reserved_special_token_1|>",
                                              "<|finetune_right_pad_id|>",
                                              "<|reserved_special_token_2|>",
                                              "<|start_header_id|>",
                                              "<|end_header_id|>",
                                              "<|eom_id|>",
                                              "<|eot_id|>",
                                              "<|python_tag|>"};
constexpr uint32_t kEndOfTurn = 9;

constexpr std::string_view kChatTemplate =
    "{{- bos_token }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}";

}  // namespace

void put_synthetic_vocabulary(formats::GgufWriter& writer, int32_t n_vocab) {
  EXO_CHECK(n_vocab >= 320);
  const int32_t n_special = n_vocab < 4096 ? 16 : 256;
  std::vector<std::string> tokens = byte_tokens();
  for (int32_t i = 256; i < n_vocab - n_special; ++i) tokens.push_back(word((i - 256) * 7919 % 1'000'000));
  for (int32_t i = 0; i < n_special; ++i) {
    constexpr auto kNamed = static_cast<int32_t>(std::size(kSpecialNames));
    tokens.push_back(i < kNamed ? std::string(kSpecialNames[i])
                                : fmt::format("<|reserved_special_token_{}|>", i - kNamed + 3));
  }
  std::vector<int32_t> types(static_cast<size_t>(n_vocab - n_special), kNormal);
  types.resize(static_cast<size_t>(n_vocab), kControl);
  const auto first_special = static_cast<uint32_t>(n_vocab - n_special);
  writer.set("tokenizer.ggml.model", "gpt2");
  writer.set("tokenizer.ggml.pre", "llama-bpe");
  writer.set("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  writer.set("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  writer.set("tokenizer.ggml.merges", std::span<const std::string>());
  writer.set("tokenizer.ggml.bos_token_id", first_special);
  writer.set("tokenizer.ggml.eos_token_id", first_special + kEndOfTurn);
  writer.set("tokenizer.ggml.add_bos_token", true);
  writer.set("tokenizer.chat_template", kChatTemplate);
}

}  // namespace exo::model
