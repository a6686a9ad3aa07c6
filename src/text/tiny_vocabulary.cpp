#include "text/tiny_vocabulary.h"

#include "base/format.h"
#include "text/byte_alphabet.h"

namespace exo::text {
namespace {

struct Lists {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;
  std::vector<double> scores;
  void add(std::string text, int64_t type, double score = 0) {
    tokens.push_back(std::move(text));
    types.push_back(type);
    scores.push_back(score);
  }
};

formats::GgufMetadata metadata_of(Lists lists, std::string model) {
  formats::GgufMetadata metadata;
  metadata.values["tokenizer.ggml.model"] = std::move(model);
  metadata.values["tokenizer.ggml.tokens"] = std::move(lists.tokens);
  metadata.values["tokenizer.ggml.token_type"] = std::move(lists.types);
  metadata.values["tokenizer.ggml.scores"] = std::move(lists.scores);
  return metadata;
}

}  // namespace

formats::GgufMetadata tiny_bpe_metadata() {
  Lists lists;
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    lists.add(encode_byte_alphabet({&c, 1}), 1);
  }
  for (const char* merged : {"he", "ll", "hell", "hello", "Ġhello", "in", "ing"}) lists.add(merged, 1);
  lists.add("<|im_end|>", 3);
  lists.add("<tool>", 4);
  lists.add("<s>", 3);
  const auto bos = static_cast<int64_t>(lists.tokens.size()) - 1;
  auto metadata = metadata_of(std::move(lists), "gpt2");
  metadata.values["tokenizer.ggml.pre"] = std::string("gpt-2");
  metadata.values["tokenizer.ggml.merges"] =
      std::vector<std::string>{"h e", "l l", "he ll", "hell o", "Ġ hello", "i n", "in g"};
  metadata.values["tokenizer.ggml.bos_token_id"] = bos;
  metadata.values["tokenizer.ggml.add_bos_token"] = true;
  return metadata;
}

formats::GgufMetadata tiny_spm_metadata() {
  Lists lists;
  lists.add("<unk>", 2);
  lists.add("<s>", 3);
  lists.add("</s>", 3);
  for (int byte = 0; byte < 256; ++byte) lists.add(fmt::format("<0x{:02X}>", byte), 6);
  for (const char* character : {"▁", "a", "b", "c"}) lists.add(character, 1, -100);
  lists.add("▁a", 1, -2);
  lists.add("ab", 1, -3);
  lists.add("abc", 1, -4);
  lists.add("bc", 1, -1);
  lists.add("▁abc", 1, -5);
  lists.add("\n\n", 4);
  return metadata_of(std::move(lists), "llama");
}

}  // namespace exo::text
