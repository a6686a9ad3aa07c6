#include "text/gguf_tokenizers.h"
#include "text/huggingface_steps.h"
#include "text/pipeline_tokenizer.h"

namespace exo::text {

Result<std::unique_ptr<Tokenizer>> load_wordpiece_tokenizer(const formats::GgufMetadata& metadata) {
  // The ids of BERT's own vocabulary, for files that do not name them.
  SpecialTokens defaults;
  defaults.unknown = TokenId(100);
  defaults.bos = TokenId(101);
  defaults.padding = TokenId(0);
  EXO_TRY(auto vocabulary, Vocabulary::from_metadata(metadata, PieceForm::kSentencePiece, defaults));
  if (!vocabulary.separator && !metadata.find("tokenizer.ggml.seperator_token_id") && vocabulary.contains(102))
    vocabulary.separator = TokenId(102);

  PipelineTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  // Files of this kind were made for engines that keep of every character the first of its canonical decomposition,
  // which drops the accents of composed letters only.
  parts.normalizer.add_base_characters();
  EXO_TRY(auto ignored, SplitRegex::compile(R"((?!\s)[\x{0}\x{FFFD}\p{Cc}\p{Cf}\p{Co}])"));
  parts.normalizer.add_replace(std::move(ignored), "");
  parts.normalizer.add_lowercase();
  const SplitStep steps[] = {
      {.pattern = R"(\s+)", .behavior = SplitBehavior::kRemoved},
      {.pattern = R"([\p{P}$+<=>^`|~])"},
      {.pattern = std::string(kCjkIdeograph)},
  };
  EXO_TRY(parts.pretokenizer, PreTokenizer::compile(steps));
  parts.make_algorithm = [](const Vocabulary& known) -> Result<WordAlgorithm> {
    return WordPieceEncoder(known, {.word_prefix = "▁"});
  };
  parts.model_name = metadata.string("general.name").value_or("");
  const Vocabulary& known = parts.vocabulary;
  if (known.add_bos.value_or(true) && known.special.bos) parts.before.push_back(*known.special.bos);
  if (known.add_separator.value_or(true) && known.separator)
    parts.after.push_back(*known.separator);
  else if (known.add_eos.value_or(false) && known.special.eos)
    parts.after.push_back(*known.special.eos);
  return PipelineTokenizer::make(std::move(parts));
}

}  // namespace exo::text
