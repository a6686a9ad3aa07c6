#include "text/bpe_tokenizer.h"

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

BpeTokenizer::BpeTokenizer(Parts& parts)
    : VocabularyTokenizer(std::move(parts.vocabulary)),
      pretokenizer_(std::move(parts.pretokenizer)),
      normalizer_(std::move(parts.normalizer)),
      strips_leading_space_(parts.strips_leading_space) {
  before_ = std::move(parts.before);
  after_ = std::move(parts.after);
  set_added_tokens(parts.added_tokens_of ? parts.added_tokens_of(vocabulary_) : added_tokens(parts.model_name));
}

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::make(Parts parts) {
  std::unique_ptr<BpeTokenizer> tokenizer(new BpeTokenizer(parts));
  if (parts.merges_by_rank_of_result) {
    tokenizer->merger_.emplace(BpeMerger::from_ranks(tokenizer->vocabulary_, parts.options));
  } else {
    EXO_TRY(auto merger,
            BpeMerger::from_merges(tokenizer->vocabulary_, parts.merges, parts.byte_alphabet, parts.options));
    tokenizer->merger_.emplace(std::move(merger));
  }
  return tokenizer;
}

void BpeTokenizer::encode_ordinary(std::string_view text, bool at_start, std::vector<TokenId>& out) const {
  std::string normalized;
  if (!normalizer_.empty()) {
    normalized = normalizer_.apply(text, at_start);
    text = normalized;
  }
  std::vector<std::string_view> words;
  pretokenizer_.split(text, words);
  BpeMerger::Scratch scratch;
  for (const std::string_view word : words) merger_->encode(word, scratch, out);
}

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
  BpeTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  EXO_TRY(parts.pretokenizer, compile_pretokenizer(*named));
  parts.byte_alphabet = !named->raw_utf8;
  if (named->raw_utf8) parts.normalizer.add_replace(" ", "▁");
  if (named->nfc) parts.normalizer.add_nfc();
  parts.options.byte_level = !named->raw_utf8;
  parts.options.ignore_merges = named->ignore_merges;
  if (pre == "kimi-k2" && !metadata.find("tokenizer.ggml.merges")) {
    parts.merges_by_rank_of_result = true;
  } else {
    EXO_TRY(parts.merges, parse_merges(metadata));
  }
  parts.model_name = metadata.string("general.name").value_or("");
  const Vocabulary& known = parts.vocabulary;
  if (known.add_bos.value_or(named->add_bos) && known.special.bos) parts.before.push_back(*known.special.bos);
  if (known.add_eos.value_or(false) && known.special.eos) parts.after.push_back(*known.special.eos);
  return BpeTokenizer::make(std::move(parts));
}

}  // namespace exo::text
