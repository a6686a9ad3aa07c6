#include "text/vocabulary.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "text/byte_alphabet.h"

namespace exo::text {
namespace {

constexpr size_t kMaxTokens = 1 << 24;

TokenType type_from(int64_t value) {
  return value >= 1 && value <= 6 ? static_cast<TokenType>(value) : TokenType::kUndefined;
}

// Names by which models mark the end of an answer, in order of preference for "end of turn".
constexpr std::array<std::string_view, 12> kEndOfTurnNames = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>",         "<|endoftext|>",      "<|end_of_text|>",
    "<EOT>",      "_<EOT>",     "[EOT]",   "<｜end▁of▁sentence｜>", "<end_of_utterance>", "<turn|>"};
constexpr std::array<std::string_view, 13> kOtherEndNames = {
    "<|eom_id|>", "<|return|>", "<|call|>",    "<|calls|>",     "<|flush|>",    "[EOS]",       "<|tool_response>",
    "[e~[",       "<eos>",      "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", "<|fim_repo|>"};
// Names that are control tokens even where a file calls them user-defined: text of a user must not become them.
constexpr std::array<std::string_view, 13> kControlNames = {
    "<|fim_prefix|>", "<fim-prefix>",  "<fim_prefix>",   "<｜fim▁begin｜>", "<|fim_suffix|>",
    "<fim-suffix>",   "<fim_suffix>",  "<｜fim▁hole｜>", "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",   "<｜fim▁end｜>", "<reponame>"};

// A borrowed array of the metadata: no copy of what may be megabytes of strings.
template <typename T>
Result<const std::vector<T>*> borrow(const formats::GgufMetadata& metadata, std::string_view key) {
  const formats::GgufValue* value = metadata.find(key);
  if (!value) return nullptr;
  const auto* array = std::get_if<std::vector<T>>(value);
  if (!array) return fail(ErrorCode::kCorrupt, "{} has the wrong type", key);
  return array;
}

}  // namespace

std::optional<uint8_t> parse_byte_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return static_cast<uint8_t>(value);
}

void Vocabulary::reserve(size_t tokens, size_t bytes) {
  tokens_.reserve(tokens);
  arena_.reserve(bytes * 2 + tokens * 4);
}

Vocabulary::Range Vocabulary::append(std::string_view bytes) {
  const Range range{static_cast<uint32_t>(arena_.size()), static_cast<uint32_t>(bytes.size())};
  arena_.append(bytes);
  return range;
}

// Where the piece differs from the text it gets its own bytes in the arena.
Vocabulary::Range Vocabulary::append_piece(Range text_range, TokenType type) {
  const std::string text(view(text_range));
  const bool ordinary =
      type != TokenType::kControl && type != TokenType::kUnknown && type != TokenType::kUserDefined;
  if (form_ == PieceForm::kByteAlphabet && ordinary) {
    const auto offset = static_cast<uint32_t>(arena_.size());
    if (append_decoded_byte_alphabet(text, arena_)) return {offset, static_cast<uint32_t>(arena_.size() - offset)};
  } else if (form_ == PieceForm::kSentencePiece && type == TokenType::kByte) {
    if (const auto byte = parse_byte_token(text)) {
      const char c = static_cast<char>(*byte);
      return append({&c, 1});
    }
  } else if (form_ == PieceForm::kSentencePiece && ordinary && text.find("▁") != std::string::npos) {
    const auto offset = static_cast<uint32_t>(arena_.size());
    for (size_t i = 0; i < text.size();) {
      const bool space = text.compare(i, 3, "▁") == 0;
      arena_.push_back(space ? ' ' : text[i]);
      i += space ? 3 : 1;
    }
    return {offset, static_cast<uint32_t>(arena_.size() - offset)};
  }
  return text_range;
}

Status Vocabulary::check_room(size_t bytes) const {
  if (tokens_.size() >= kMaxTokens || arena_.size() + bytes > std::numeric_limits<uint32_t>::max())
    return fail(ErrorCode::kCorrupt, "the vocabulary is larger than any model's");
  return {};
}

Status Vocabulary::add(std::string_view text, TokenType type, float score) {
  EXO_CHECK_OK(check_room(2 * text.size()));
  const Range range = append(text);
  const Range piece = append_piece(range, type);
  tokens_.push_back({range, piece, form_ == PieceForm::kByteAlphabet ? piece : range,
                     std::isnan(score) ? 0.0f : score,  // nothing else can be sorted
                     type});
  return {};
}

Status Vocabulary::add(std::string_view text, std::string_view key, std::string_view piece, TokenType type,
                       float score) {
  EXO_CHECK_OK(check_room(text.size() + key.size() + piece.size()));
  const Range range = append(text);
  const Range key_range = key == text ? range : append(key);
  const Range piece_range = piece == text ? range : piece == key ? key_range : append(piece);
  tokens_.push_back({range, piece_range, key_range, std::isnan(score) ? 0.0f : score, type});
  return {};
}

int32_t Vocabulary::find_by_text(std::string_view wanted) const {
  for (int32_t id = 0; id < size(); ++id)
    if (text(id) == wanted) return id;
  return -1;
}

void Vocabulary::mark_control(int32_t id) {
  if (type(id) == TokenType::kControl) return;
  tokens_[id].type = TokenType::kControl;
  tokens_[id].piece = tokens_[id].text;
}

// One pass over the vocabulary for all names: each is looked up in a small index.
void Vocabulary::find_end_of_generation() {
  struct Name {
    std::string_view text;
    bool ends;
  };
  std::vector<Name> names;
  for (const auto name : kEndOfTurnNames) names.push_back({name, true});
  for (const auto name : kOtherEndNames) names.push_back({name, true});
  for (const auto name : kControlNames) names.push_back({name, false});
  const auto name_of = [&](int32_t i) { return names[i].text; };
  StringIndex index(names.size());
  for (size_t i = 0; i < names.size(); ++i) index.insert(names[i].text, static_cast<int32_t>(i), name_of);

  std::vector<int32_t> found(names.size(), -1);
  for (int32_t id = 0; id < size(); ++id) {
    const std::string_view candidate = text(id);
    if (candidate.size() < 4 || candidate.size() > 32) continue;
    const char first = candidate[0];
    if (first != '<' && first != '[' && first != '_') continue;
    const int32_t i = index.find(candidate, name_of);
    if (i >= 0 && found[i] < 0) found[i] = id;
  }
  const auto id_of = [&](std::string_view name) {
    const int32_t i = index.find(name, name_of);
    return i < 0 ? -1 : found[i];
  };

  for (size_t i = 0; i < kEndOfTurnNames.size() && !special.eot; ++i)
    if (found[i] >= 0) special.eot = TokenId(found[i]);
  // In the harmony format <|end|> ends a message, <|return|> and <|call|> end the answer.
  const bool harmony =
      (id_of("<|return|>") >= 0 && id_of("<|call|>") >= 0) || (id_of("<|calls|>") >= 0 && id_of("<|flush|>") >= 0);
  if (harmony && special.eot && text(special.eot->value) == "<|end|>") special.eot.reset();

  std::vector<TokenId>& ends = special.end_of_generation;
  const auto add_end = [&ends](std::optional<TokenId> id) {
    if (id && std::find(ends.begin(), ends.end(), *id) == ends.end()) ends.push_back(*id);
  };
  for (size_t i = 0; i < names.size(); ++i) {
    if (found[i] < 0) continue;
    mark_control(found[i]);
    if (names[i].ends && !(harmony && names[i].text == "<|end|>")) add_end(TokenId(found[i]));
  }
  add_end(special.eos);
  add_end(special.eot);
  std::sort(ends.begin(), ends.end());
}

void Vocabulary::index_ordinary() {
  ordinary_ = StringIndex(tokens_.size());
  byte_tokens_.fill(-1);
  const auto key_of = [this](int32_t id) { return key(id); };
  const auto is_plain = [](TokenType type) {
    return type == TokenType::kNormal || type == TokenType::kUnused || type == TokenType::kUndefined;
  };
  for (int32_t id = 0; id < size(); ++id)
    if (is_plain(type(id)) && !key(id).empty()) ordinary_.insert(key(id), id, key_of);
  for (int32_t id = 0; id < size(); ++id) {
    if (type(id) == TokenType::kUserDefined && !key(id).empty()) ordinary_.insert(key(id), id, key_of);
    if (form_ == PieceForm::kByteAlphabet || text(id).size() != 6) continue;
    const auto byte = parse_byte_token(text(id));
    if (byte && byte_tokens_[*byte] < 0) byte_tokens_[*byte] = id;
  }
}

void Vocabulary::finish() {
  find_end_of_generation();
  index_ordinary();
}

Status Vocabulary::read_special_ids(const formats::GgufMetadata& metadata) {
  const auto read_id = [&](std::string_view key, std::optional<TokenId>& id) -> Status {
    const std::string full = "tokenizer.ggml." + std::string(key);
    if (!metadata.find(full)) return {};
    EXO_TRY(const int64_t value, metadata.integer(full));
    // Converters write all ones, signed or not, for "none".
    if (value == -1 || value == std::numeric_limits<uint32_t>::max()) {
      id.reset();
      return {};
    }
    if (value < 0 || value >= size())
      return fail(ErrorCode::kCorrupt, "{} is {}, but the vocabulary has {} tokens", full, value, size());
    id = TokenId(static_cast<int32_t>(value));
    return {};
  };
  const auto read_flag = [&](std::string_view key, std::optional<bool>& flag) -> Status {
    const std::string full = "tokenizer.ggml." + std::string(key);
    if (!metadata.find(full)) return {};
    EXO_TRY(flag, metadata.boolean(full));
    return {};
  };
  EXO_CHECK_OK(read_id("bos_token_id", special.bos));
  EXO_CHECK_OK(read_id("eos_token_id", special.eos));
  EXO_CHECK_OK(read_id("eot_token_id", special.eot));
  EXO_CHECK_OK(read_id("unknown_token_id", special.unknown));
  EXO_CHECK_OK(read_id("padding_token_id", special.padding));
  EXO_CHECK_OK(read_id("seperator_token_id", separator));  // the key is spelt so
  EXO_CHECK_OK(read_id("mask_token_id", mask));
  std::optional<TokenId> end_of_message;
  EXO_CHECK_OK(read_id("eom_token_id", end_of_message));
  if (end_of_message) special.end_of_generation.push_back(*end_of_message);
  EXO_CHECK_OK(read_flag("add_bos_token", add_bos));
  EXO_CHECK_OK(read_flag("add_eos_token", add_eos));
  EXO_CHECK_OK(read_flag("add_sep_token", add_separator));
  EXO_CHECK_OK(read_flag("add_space_prefix", add_space_prefix));
  std::optional<bool> remove_extra;
  EXO_CHECK_OK(read_flag("remove_extra_whitespaces", remove_extra));
  remove_extra_whitespaces = remove_extra.value_or(false);
  return {};
}

Result<Vocabulary> Vocabulary::from_metadata(const formats::GgufMetadata& metadata, PieceForm form,
                                             const SpecialTokens& defaults) {
  EXO_TRY(const auto* tokens, borrow<std::string>(metadata, "tokenizer.ggml.tokens"));
  if (!tokens || tokens->empty()) return fail(ErrorCode::kCorrupt, "tokenizer.ggml.tokens is missing or empty");

  std::vector<int64_t> types;
  if (metadata.find("tokenizer.ggml.token_type")) {
    EXO_TRY(types, metadata.integers("tokenizer.ggml.token_type"));
    if (types.size() != tokens->size())
      return fail(ErrorCode::kCorrupt, "{} tokens, but {} token types", tokens->size(), types.size());
  }
  std::vector<double> scores;
  if (metadata.find("tokenizer.ggml.scores")) {
    EXO_TRY(scores, metadata.numbers("tokenizer.ggml.scores"));
    if (scores.size() != tokens->size())
      return fail(ErrorCode::kCorrupt, "{} tokens, but {} scores", tokens->size(), scores.size());
  }

  Vocabulary vocabulary(form);
  size_t bytes = 0;
  for (const std::string& token : *tokens) bytes += token.size();
  vocabulary.reserve(tokens->size(), bytes);
  for (size_t i = 0; i < tokens->size(); ++i)
    EXO_CHECK_OK(vocabulary.add((*tokens)[i], types.empty() ? TokenType::kNormal : type_from(types[i]),
                                scores.empty() ? 0.0f : static_cast<float>(scores[i])));
  vocabulary.special = defaults;
  for (auto* id : {&vocabulary.special.bos, &vocabulary.special.eos, &vocabulary.special.unknown})
    if (*id && !vocabulary.contains((*id)->value)) id->reset();
  EXO_CHECK_OK(vocabulary.read_special_ids(metadata));
  vocabulary.finish();
  return vocabulary;
}

}  // namespace exo::text
