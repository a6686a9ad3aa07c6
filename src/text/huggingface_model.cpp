#include "text/huggingface_model.h"

#include <charconv>

#include "text/byte_alphabet.h"
#include "text/json_fields.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxTokens = 1 << 22;

std::optional<double> as_number(const json::value& value) {
  if (value.is_double()) return value.get_double();
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::optional<int32_t> as_id(const json::value& value) {
  const auto id = as_integer(value);
  if (!id || *id < 0 || *id >= kMaxTokens) return std::nullopt;
  return static_cast<int32_t>(*id);
}

HuggingFaceAdded read_attributes(const json::object& token) {
  const bool special = find_bool(token, "special").value_or(false);
  return {.content = find_string(token, "content").value_or(""),
          .special = special,
          .single_word = find_bool(token, "single_word").value_or(false),
          .strip_left = find_bool(token, "lstrip").value_or(false),
          .strip_right = find_bool(token, "rstrip").value_or(false),
          .normalized = find_bool(token, "normalized").value_or(!special)};
}

}  // namespace

Result<HuggingFaceAddedTokens> read_huggingface_added(const json::object& tokenizer, const json::object& config) {
  HuggingFaceAddedTokens added;
  for (const json::value& value : find_array(tokenizer, "added_tokens")) {
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: an added token is no object");
    const auto id = as_id(find_value(value.get_object(), "id"));
    if (!id) return fail(ErrorCode::kCorrupt, "tokenizer.json: an added token has no usable id");
    added[*id] = read_attributes(value.get_object());
  }
  const json::value& decoder = find_value(config, "added_tokens_decoder");
  if (!decoder.is_object()) return added;
  for (const auto& entry : decoder.get_object()) {
    const std::string_view key = entry.key();
    int32_t id = -1;
    const auto end = std::from_chars(key.data(), key.data() + key.size(), id);
    if (end.ptr != key.data() + key.size() || id < 0 || id >= kMaxTokens || !entry.value().is_object())
      return fail(ErrorCode::kCorrupt, "tokenizer_config.json: added token '{}' is malformed", key);
    added[id] = read_attributes(entry.value().get_object());
  }
  return added;
}

Result<HuggingFaceModel> HuggingFaceModel::read(const json::object& object) {
  HuggingFaceModel model;
  model.model_ = &object;
  const json::value& vocab = find_value(object, "vocab");
  // Files of old name no type: a list of pieces is a unigram model, merges make BPE.
  const std::string_view guessed =
      vocab.is_array()                                                                              ? "Unigram"
      : object.contains("continuing_subword_prefix") && object.contains("max_input_chars_per_word") ? "WordPiece"
                                                                                                    : "BPE";
  const std::string_view type = find_string(object, "type").value_or(guessed);
  if (type == "BPE") {
    model.kind_ = Kind::kBpe;
  } else if (type == "WordPiece") {
    model.kind_ = Kind::kWordPiece;
  } else if (type == "WordLevel") {
    model.kind_ = Kind::kWordLevel;
  } else if (type == "Unigram") {
    model.kind_ = Kind::kUnigram;
  } else {
    return fail(ErrorCode::kUnsupported, "tokenizer.json: model '{}' is not known", type);
  }
  EXO_CHECK_OK(model.kind_ == Kind::kUnigram ? model.read_scored_rows() : model.read_rows());
  return model;
}

Status HuggingFaceModel::put(std::string_view text, const json::value& id_value, double score) {
  const auto id = as_id(id_value);
  if (!id) return fail(ErrorCode::kCorrupt, "tokenizer.json: token '{}' has no usable id", text);
  if (static_cast<size_t>(*id) >= rows_.size()) rows_.resize(static_cast<size_t>(*id) + 1);
  rows_[static_cast<size_t>(*id)] = {text, score, true};
  return {};
}

Status HuggingFaceModel::read_rows() {
  const json::value& vocab = find_value(*model_, "vocab");
  if (!vocab.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the model has no vocabulary");
  rows_.reserve(vocab.get_object().size());
  for (const auto& entry : vocab.get_object()) EXO_CHECK_OK(put(entry.key(), entry.value(), 0));
  return {};
}

Status HuggingFaceModel::read_scored_rows() {
  const json::value& vocab = find_value(*model_, "vocab");
  if (!vocab.is_array()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the model has no vocabulary");
  rows_.reserve(vocab.get_array().size());
  for (const json::value& pair : vocab.get_array()) {
    const bool shaped = pair.is_array() && pair.get_array().size() == 2 && pair.get_array()[0].is_string();
    const auto score = shaped ? as_number(pair.get_array()[1]) : std::nullopt;
    if (!score) return fail(ErrorCode::kCorrupt, "tokenizer.json: token {} is no text with a score", rows_.size());
    EXO_CHECK_OK(put(pair.get_array()[0].get_string(), json::value(rows_.size()), *score));
  }
  return {};
}

Result<Vocabulary> HuggingFaceModel::build_vocabulary(const HuggingFaceAddedTokens& added,
                                                      const HuggingFaceDecoder& decoder, bool byte_level) const {
  size_t count = rows_.size(), bytes = 0;
  if (!added.empty()) count = std::max(count, static_cast<size_t>(added.rbegin()->first) + 1);
  if (count == 0) return fail(ErrorCode::kCorrupt, "tokenizer.json: the vocabulary is empty");
  for (const Row& row : rows_) bytes += row.text.size();
  Vocabulary vocabulary(byte_level ? PieceForm::kByteAlphabet : PieceForm::kRaw);
  vocabulary.reserve(count, bytes);
  int32_t unknown = -1;
  const auto unknown_name = find_string(*model_, "unk_token");
  for (size_t i = 0; i < count; ++i) {
    const Row row = i < rows_.size() ? rows_[i] : Row{};
    const auto token = added.find(static_cast<int32_t>(i));
    const std::string_view text = token != added.end() ? token->second.content : row.text;
    std::string key;
    if (row.named && (!byte_level || !append_decoded_byte_alphabet(row.text, key))) key = row.text;
    const TokenType type = token == added.end()    ? (row.named ? TokenType::kNormal : TokenType::kUnused)
                           : token->second.special ? TokenType::kControl
                                                   : TokenType::kUserDefined;
    EXO_CHECK_OK(vocabulary.add(text, key, decoder.piece(text), type, static_cast<float>(row.score)));
    if (row.named && unknown_name && row.text == *unknown_name) unknown = static_cast<int32_t>(i);
  }
  if (kind_ == Kind::kUnigram)
    if (const auto id = as_id(find_value(*model_, "unk_id")); id && vocabulary.contains(*id)) unknown = *id;
  if (unknown >= 0) vocabulary.special.unknown = TokenId(unknown);
  return vocabulary;
}

Result<HuggingFaceModel::Merges> HuggingFaceModel::merges() const {
  Merges merges;
  const json::array& lines = find_array(*model_, "merges");
  merges.reserve(lines.size());
  for (const json::value& line : lines) {
    if (line.is_string()) {
      const std::string_view text = line.get_string();
      const size_t space = text.find(' ', 1);
      if (text.empty() || space == std::string_view::npos || space + 1 == text.size())
        return fail(ErrorCode::kCorrupt, "tokenizer.json: merge {} is not two parts", merges.size());
      merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    } else if (line.is_array() && line.get_array().size() == 2 && line.get_array()[0].is_string() &&
               line.get_array()[1].is_string()) {
      merges.emplace_back(line.get_array()[0].get_string(), line.get_array()[1].get_string());
    } else {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: merge {} is not two parts", merges.size());
    }
  }
  return merges;
}

Result<WordAlgorithm> HuggingFaceModel::make_algorithm(const Vocabulary& vocabulary, bool byte_level) const {
  const bool byte_fallback = find_bool(*model_, "byte_fallback").value_or(false);
  const auto text = [&](std::string_view name) { return std::string(find_string(*model_, name).value_or("")); };
  switch (kind_) {
    case Kind::kWordLevel:
      return WordLevelEncoder(vocabulary);
    case Kind::kWordPiece: {
      const auto longest = as_integer(find_value(*model_, "max_input_chars_per_word")).value_or(100);
      return WordPieceEncoder(
          vocabulary,
          {.continuing_prefix = std::string(find_string(*model_, "continuing_subword_prefix").value_or("##")),
           .byte_level = byte_level,
           .max_characters = static_cast<size_t>(std::max<int64_t>(longest, 1))});
    }
    case Kind::kUnigram: {
      std::vector<double> scores;
      for (const Row& row : rows_) scores.push_back(row.score);
      return UnigramEncoder(vocabulary, {.byte_level = byte_level, .byte_fallback = byte_fallback}, scores);
    }
    case Kind::kBpe:
      break;
  }
  EXO_TRY(const auto pairs, merges());
  EXO_TRY(auto merger, BpeMerger::from_merges(vocabulary, pairs, byte_level,
                                              {.byte_level = byte_level,
                                               .ignore_merges = find_bool(*model_, "ignore_merges").value_or(false),
                                               .fuse_unknown = find_bool(*model_, "fuse_unk").value_or(false),
                                               .byte_fallback = byte_fallback,
                                               .continuing_prefix = text("continuing_subword_prefix"),
                                               .word_suffix = text("end_of_word_suffix")}));
  return merger;
}

}  // namespace exo::text
