#include "text/gguf_tokenizers.h"
#include "text/pipeline_tokenizer.h"

namespace exo::text {
namespace {

// What SentencePiece's normaliser does: the character map, superfluous spaces, a space in front, spaces as ▁.
Status add_sentencepiece_steps(const formats::GgufMetadata& metadata, bool space_prefix, TextNormalizer& steps) {
  constexpr std::string_view kMapKey = "tokenizer.ggml.precompiled_charsmap";
  if (metadata.find(kMapKey)) {
    EXO_TRY(const auto values, metadata.integers(kMapKey));
    std::string blob;
    blob.reserve(values.size());
    for (const int64_t value : values) blob += static_cast<char>(value);
    if (!blob.empty()) {
      EXO_TRY(auto map, CharacterMap::parse(blob));
      steps.add_character_map(std::move(map));
    }
  }
  if (metadata.boolean("tokenizer.ggml.remove_extra_whitespaces").value_or(false)) steps.add_remove_extra_spaces();
  if (space_prefix) steps.add_prepend(" ");
  steps.add_replace(" ", "▁");
  return {};
}

// All but the algorithm. `adds_bos`, `adds_eos`: where the file does not say.
Result<PipelineTokenizer::Parts> piece_parts(const formats::GgufMetadata& metadata, const SpecialTokens& defaults,
                                             bool adds_bos, bool adds_eos) {
  EXO_TRY(auto vocabulary, Vocabulary::from_metadata(metadata, PieceForm::kSentencePiece, defaults));
  PipelineTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  const Vocabulary& known = parts.vocabulary;
  const bool space_prefix = known.add_space_prefix.value_or(true);
  EXO_CHECK_OK(add_sentencepiece_steps(metadata, space_prefix, parts.normalizer));
  parts.strips_leading_space = space_prefix;
  parts.model_name = metadata.string("general.name").value_or("");
  if (known.add_bos.value_or(adds_bos) && known.special.bos) parts.before.push_back(*known.special.bos);
  if (known.add_eos.value_or(adds_eos) && known.special.eos) parts.after.push_back(*known.special.eos);
  return parts;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_sentencepiece_tokenizer(const formats::GgufMetadata& metadata) {
  SpecialTokens defaults;
  defaults.unknown = TokenId(0);
  defaults.bos = TokenId(1);
  defaults.eos = TokenId(2);
  EXO_TRY(auto parts, piece_parts(metadata, defaults, true, false));
  parts.make_algorithm = [](const Vocabulary& in_place) -> Result<WordAlgorithm> {
    return SentencePieceEncoder(in_place);
  };
  return PipelineTokenizer::make(std::move(parts));
}

Result<std::unique_ptr<Tokenizer>> load_unigram_tokenizer(const formats::GgufMetadata& metadata) {
  // The ids of T5's own vocabulary, for files that do not name them.
  SpecialTokens defaults;
  defaults.padding = TokenId(0);
  defaults.eos = TokenId(1);
  defaults.unknown = TokenId(2);
  EXO_TRY(auto parts, piece_parts(metadata, defaults, false, true));
  parts.make_algorithm = [](const Vocabulary& in_place) -> Result<WordAlgorithm> {
    return UnigramEncoder(in_place, {.byte_fallback = true});
  };
  return PipelineTokenizer::make(std::move(parts));
}

}  // namespace exo::text
