#include "text/huggingface_tokenizer.h"

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>
#include <string>

#include "text/huggingface_model.h"
#include "text/huggingface_post.h"
#include "text/huggingface_steps.h"
#include "text/json_fields.h"

namespace exo::text {
namespace {

namespace json = boost::json;

Result<json::value> parse_object(std::string_view text, std::string_view what, json::storage_ptr storage) {
  boost::system::error_code error;
  json::value value = json::parse(text, error, std::move(storage));
  if (error) return fail(ErrorCode::kCorrupt, "{}: {}", what, error.message());
  if (!value.is_object()) return fail(ErrorCode::kCorrupt, "{} is no object", what);
  return value;
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

std::vector<AddedToken> added_tokens_of(const HuggingFaceAddedTokens& added, const Vocabulary& vocabulary) {
  std::vector<AddedToken> tokens;
  for (const auto& [id, token] : added)
    tokens.push_back({.text = vocabulary.text(id),
                      .id = TokenId(id),
                      .only_if_parsed = vocabulary.is_hidden(id),
                      .strip_left = token.strip_left,
                      .strip_right = token.strip_right,
                      .single_word = token.single_word,
                      .normalized = token.normalized});
  return tokens;
}

// The post-processor says what stands around a text; where it says nothing, tokenizer_config.json does.
Status add_surroundings(const json::object& root, const json::object& config, PipelineTokenizer::Parts& parts) {
  EXO_TRY(auto post, read_huggingface_post(find_value(root, "post_processor"), parts.vocabulary));
  parts.before = std::move(post.before);
  parts.after = std::move(post.after);
  const SpecialTokens& special = parts.vocabulary.special;
  if (post.has_template) return {};
  if (find_bool(config, "add_bos_token").value_or(false) && special.bos) parts.before.push_back(*special.bos);
  if (find_bool(config, "add_eos_token").value_or(false) && special.eos) parts.after.push_back(*special.eos);
  return {};
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

  EXO_TRY(auto steps, read_huggingface_steps(find_value(root, "normalizer"), find_value(root, "pre_tokenizer")));
  EXO_TRY(auto decoder, read_huggingface_decoder(find_value(root, "decoder")));
  EXO_TRY(const auto added, read_huggingface_added(root, config));
  EXO_TRY(const auto model, HuggingFaceModel::read(model_value.get_object()));
  EXO_TRY(auto vocabulary, model.build_vocabulary(added, decoder, steps.byte_level));
  vocabulary.special.bos = named_token(vocabulary, config, "bos_token");
  vocabulary.special.eos = named_token(vocabulary, config, "eos_token");
  vocabulary.special.padding = named_token(vocabulary, config, "pad_token");
  vocabulary.finish();

  PipelineTokenizer::Parts parts{.vocabulary = std::move(vocabulary)};
  EXO_TRY(parts.pretokenizer, PreTokenizer::compile(steps.splits));
  parts.normalizer = std::move(steps.normalizer);
  EXO_CHECK_OK(add_surroundings(root, config, parts));
  parts.added_tokens_of = [&added](const Vocabulary& known) { return added_tokens_of(added, known); };
  parts.make_algorithm = [&](const Vocabulary& known) { return model.make_algorithm(known, steps.byte_level); };
  parts.strips_leading_space = decoder.strips_leading_space;
  parts.drops_trailing_space = decoder.drops_trailing_space;
  parts.first_piece = std::move(decoder.first_piece);
  return PipelineTokenizer::make(std::move(parts));
}

}  // namespace exo::text
