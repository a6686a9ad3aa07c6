#include "text/gguf_tokenizers.h"
#include "text/pipeline_tokenizer.h"
#include "text/pretokenizers.h"

namespace exo::text {
namespace {

using Merges = std::vector<std::pair<std::string_view, std::string_view>>;

// "left right"; a side may begin with a space in vocabularies of raw text.
Result<Merges> parse_merges(const formats::GgufMetadata& metadata) {
  const formats::GgufValue* value = metadata.find("tokenizer.ggml.merges");
  if (!value) return fail(ErrorCode::kCorrupt, "tokenizer.ggml.merges is missing");
  const auto* lines = std::get_if<std::vector<std::string>>(value);
  if (!lines) return fail(ErrorCode::kCorrupt, "tokenizer.ggml.merges has the wrong type");
  Merges merges;
  merges.reserve(lines->size());
  for (const std::string& line : *lines) {
    const size_t space = line.find(' ', 1);
    if (space == std::string::npos || space + 1 == line.size())
      return fail(ErrorCode::kCorrupt, "merge {} is not two parts with a space between", merges.size());
    merges.emplace_back(std::string_view(line).substr(0, space), std::string_view(line).substr(space + 1));
  }
  return merges;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_bpe_tokenizer(const formats::GgufMetadata& metadata) {
  std::string pre;
  if (metadata.find("tokenizer.ggml.pre")) {
    EXO_TRY(pre, metadata.string("tokenizer.ggml.pre"));
  }
  if (metadata.string("tokenizer.ggml.model").value_or("") == "gemma4") pre = "gemma4";
  const NamedPreTokenizer* named = find_pretokenizer(pre);
  if (!named) return fail(ErrorCode::kUnsupported, "pre-tokenizer '{}' is not known", pre);

  const PieceForm form = named->raw_utf8 ? PieceForm::kSentencePiece : PieceForm::kByteAlphabet;
  EXO_TRY(auto vocabulary, Vocabulary::from_metadata(metadata, form));
  PipelineTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  EXO_TRY(parts.pretokenizer, compile_pretokenizer(*named));
  if (named->raw_utf8) parts.normalizer.add_replace(" ", "▁");
  if (named->nfc) parts.normalizer.add_nfc();
  const BpeOptions options{.byte_level = !named->raw_utf8, .ignore_merges = named->ignore_merges};
  const bool by_rank_of_result = pre == "kimi-k2" && !metadata.find("tokenizer.ggml.merges");
  Merges merges;
  if (!by_rank_of_result) {
    EXO_TRY(merges, parse_merges(metadata));
  }
  parts.make_algorithm = [&](const Vocabulary& known) -> Result<WordAlgorithm> {
    if (by_rank_of_result) return BpeMerger::from_ranks(known, options);
    EXO_TRY(auto merger, BpeMerger::from_merges(known, merges, !named->raw_utf8, options));
    return merger;
  };
  parts.model_name = metadata.string("general.name").value_or("");
  const Vocabulary& known = parts.vocabulary;
  if (known.add_bos.value_or(named->add_bos) && known.special.bos) parts.before.push_back(*known.special.bos);
  if (known.add_eos.value_or(false) && known.special.eos) parts.after.push_back(*known.special.eos);
  return PipelineTokenizer::make(std::move(parts));
}

}  // namespace exo::text
