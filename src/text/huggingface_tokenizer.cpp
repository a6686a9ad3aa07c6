#include "text/huggingface_tokenizer.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <string>

#include "text/bpe_tokenizer.h"
#include "text/huggingface_steps.h"
#include "text/json_fields.h"

namespace exo::text {
namespace {

namespace json = boost::json;
using Merges = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr int64_t kMaxTokens = 1 << 22;

Result<json::value> parse_object(std::string_view text, std::string_view what, json::storage_ptr storage) {
  boost::system::error_code error;
  json::value value = json::parse(text, error, std::move(storage));
  if (error) return fail(ErrorCode::kCorrupt, "{}: {}", what, error.message());
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "{} is no object", what);
  return value;
}

struct TokenRow {
  std::string_view text;
  TokenType type = TokenType::kUnused;
};

// The vocabulary with added tokens on top, by id; ids that nobody names stay empty.
Result<std::vector<TokenRow>> read_rows(const json::object& vocab, const json::array& added, bool byte_fallback) {
  std::vector<TokenRow> rows;
  const auto put = [&](std::string_view text, const json::value& id_value, TokenType type) -> Status {
    const auto id = as_integer(id_value);
    if (!id || *id < 0 || *id >= kMaxTokens)
      return fail(ErrorCode::kCorrupt, "tokenizer.json: token '{}' has no usable id", text);
    if (static_cast<size_t>(*id) >= rows.size()) rows.resize(static_cast<size_t>(*id) + 1);
    rows[static_cast<size_t>(*id)] = {text, type};
    return {};
  };
  for (const auto& entry : vocab) {
    const std::string_view text = entry.key();
    const bool byte = byte_fallback && text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
    EXO_CHECK_OK(put(text, entry.value(), byte ? TokenType::kByte : TokenType::kNormal));
  }
  for (const json::value& value : added) {
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: an added token is no object");
    const json::object& token = value.get_object();
    const bool special = find_bool(token, "special").value_or(false);
    EXO_CHECK_OK(put(find_string(token, "content").value_or(""), find_value(token, "id"),
                     special ? TokenType::kControl : TokenType::kUserDefined));
  }
  return rows;
}

Result<Merges> read_merges(const json::object& model) {
  Merges merges;
  const json::array& lines = find_array(model, "merges");
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

// "eos_token" is a name or an object with the name as its "content".
std::optional<TokenId> named_token(const Vocabulary& vocabulary, const json::object& config, std::string_view key) {
  const json::value& value = find_value(config, key);
  std::optional<std::string_view> name = find_string(config, key);
  if (value.is_object()) name = find_string(value.get_object(), "content");
  if (!name) return std::nullopt;
  const int32_t id = vocabulary.find_by_text(*name);
  return id < 0 ? std::nullopt : std::optional(TokenId(id));
}

bool decoder_strips_space(const json::value& decoder) {
  if (!decoder.is_object()) return false;
  const json::object& object = decoder.get_object();
  const std::string_view type = find_string(object, "type").value_or("");
  if (type == "Strip")
    return find_string(object, "content") == " " && find_value(object, "start") != json::value(0);
  if (type == "Metaspace") {
    const bool legacy = find_bool(object, "add_prefix_space").value_or(true);
    return find_string(object, "prepend_scheme").value_or(legacy ? "always" : "never") != "never";
  }
  for (const json::value& step : find_array(object, "decoders"))
    if (decoder_strips_space(step)) return true;
  return false;
}

// What TemplateProcessing and its like put around a single text.
class PostProcessorReader {
 public:
  explicit PostProcessorReader(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  Status read(const json::value& value) {
    if (value.is_null()) return {};
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor is no object");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "processors")) EXO_CHECK_OK(read(step));
    } else if (type == "TemplateProcessing") {
      has_template = true;
      EXO_CHECK_OK(read_template(object));
    } else if (type == "BertProcessing" || type == "RobertaProcessing") {
      has_template = true;
      EXO_CHECK_OK(read_pair(find_value(object, "cls"), before));
      EXO_CHECK_OK(read_pair(find_value(object, "sep"), after));
    } else if (type != "ByteLevel") {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: post-processor '{}' is not known", type);
    }
    return {};
  }

  std::vector<TokenId> before, after;
  bool has_template = false;

 private:
  Status put(const json::value& value, std::vector<TokenId>& side) const {
    const auto id = as_integer(value);
    if (!id || *id < 0 || *id >= vocabulary_.size())
      return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor names a token outside the vocabulary");
    side.push_back(TokenId(static_cast<int32_t>(*id)));
    return {};
  }

  Status read_pair(const json::value& pair, std::vector<TokenId>& side) const {
    if (!pair.is_array() || pair.get_array().size() != 2)
      return fail(ErrorCode::kCorrupt, "tokenizer.json: the post-processor's cls or sep is malformed");
    return put(pair.get_array()[1], side);
  }

  Status read_template(const json::object& object) {
    const json::value& specials = find_value(object, "special_tokens");
    bool seen_text = false;
    for (const json::value& part : find_array(object, "single")) {
      if (!part.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the template is malformed");
      if (part.get_object().contains("Sequence")) seen_text = true;
      const json::value& special = find_value(part.get_object(), "SpecialToken");
      if (!special.is_object()) continue;
      const std::string_view name = find_string(special.get_object(), "id").value_or("");
      const json::value& entry = specials.is_object() ? find_value(specials.get_object(), name) : specials;
      if (!entry.is_object())
        return fail(ErrorCode::kCorrupt, "tokenizer.json: the template's '{}' is not described", name);
      for (const json::value& id : find_array(entry.get_object(), "ids"))
        EXO_CHECK_OK(put(id, seen_text ? after : before));
    }
    return {};
  }

  const Vocabulary& vocabulary_;
};

std::vector<AddedToken> read_added(const json::array& added, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  for (const json::value& value : added) {
    const json::object& token = value.get_object();
    const auto id = static_cast<int32_t>(as_integer(find_value(token, "id")).value_or(0));
    tokens.push_back({.text = vocabulary.text(id),
                      .id = TokenId(id),
                      .only_if_parsed = vocabulary.is_hidden(id),
                      .strip_left = find_bool(token, "lstrip").value_or(false),
                      .strip_right = find_bool(token, "rstrip").value_or(false),
                      .single_word = find_bool(token, "single_word").value_or(false)});
  }
  return tokens;
}

// Options of the BPE model that change what it does and that no model in use has.
Status refuse_unknown_options(const json::object& model) {
  const std::string_view type = find_string(model, "type").value_or("BPE");
  if (type != "BPE") return fail(ErrorCode::kUnsupported, "tokenizer.json: model '{}' is not known", type);
  for (const char* option : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (!find_string(model, option).value_or("").empty())
      return fail(ErrorCode::kUnsupported, "tokenizer.json: BPE option '{}' is not known", option);
  return {};
}

Result<Vocabulary> build_vocabulary(const std::vector<TokenRow>& rows, PieceForm form, const json::object& model,
                                    const json::object& config) {
  Vocabulary vocabulary(form);
  size_t bytes = 0;
  for (const TokenRow& row : rows) bytes += row.text.size();
  vocabulary.reserve(rows.size(), bytes);
  for (const TokenRow& row : rows) EXO_CHECK_OK(vocabulary.add(row.text, row.type, 0));
  vocabulary.special.bos = named_token(vocabulary, config, "bos_token");
  vocabulary.special.eos = named_token(vocabulary, config, "eos_token");
  vocabulary.special.padding = named_token(vocabulary, config, "pad_token");
  vocabulary.special.unknown = named_token(vocabulary, model, "unk_token");
  vocabulary.finish();
  return vocabulary;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> load_tokenizer_json(std::string_view text,
                                                       std::optional<std::string_view> config_text) {
  json::monotonic_resource resource;
  EXO_TRY(const json::value root_value, parse_object(text, "tokenizer.json", &resource));
  const json::object& root = root_value.get_object();
  json::value config_value = json::object();
  if (config_text) {
    EXO_TRY(config_value, parse_object(*config_text, "tokenizer_config.json", {}));
  }
  const json::object& config = config_value.get_object();
  const json::value& model_value = find_value(root, "model");
  if (!model_value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json has no model");
  const json::object& model = model_value.get_object();
  EXO_CHECK_OK(refuse_unknown_options(model));
  const json::value& vocab = find_value(model, "vocab");
  if (!vocab.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the model has no vocabulary");

  EXO_TRY(auto steps, read_huggingface_steps(find_value(root, "normalizer"), find_value(root, "pre_tokenizer")));
  const bool byte_fallback = find_bool(model, "byte_fallback").value_or(false);
  const json::array& added = find_array(root, "added_tokens");
  EXO_TRY(const auto rows, read_rows(vocab.get_object(), added, byte_fallback));
  if (rows.empty()) return fail(ErrorCode::kCorrupt, "tokenizer.json: the vocabulary is empty");
  const PieceForm form = steps.byte_level ? PieceForm::kByteAlphabet : PieceForm::kSentencePiece;
  EXO_TRY(auto vocabulary, build_vocabulary(rows, form, model, config));

  BpeTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  EXO_TRY(parts.merges, read_merges(model));
  EXO_TRY(parts.pretokenizer, PreTokenizer::compile(steps.splits));
  parts.normalizer = std::move(steps.normalizer);
  parts.byte_alphabet = steps.byte_level;
  parts.options = {.byte_level = steps.byte_level,
                   .ignore_merges = find_bool(model, "ignore_merges").value_or(false),
                   .fuse_unknown = find_bool(model, "fuse_unk").value_or(false)};
  parts.strips_leading_space = decoder_strips_space(find_value(root, "decoder"));

  PostProcessorReader post(parts.vocabulary);
  EXO_CHECK_OK(post.read(find_value(root, "post_processor")));
  parts.before = std::move(post.before);
  parts.after = std::move(post.after);
  const SpecialTokens& special = parts.vocabulary.special;
  if (!post.has_template && find_bool(config, "add_bos_token").value_or(false) && special.bos)
    parts.before.push_back(*special.bos);
  if (!post.has_template && find_bool(config, "add_eos_token").value_or(false) && special.eos)
    parts.after.push_back(*special.eos);
  parts.added_tokens_of = [&added](const Vocabulary& final_vocabulary) {
    return read_added(added, final_vocabulary);
  };
  return BpeTokenizer::make(std::move(parts));
}

}  // namespace exo::text
