#include "text/gguf_export.h"

#include <algorithm>
#include <array>
#include <boost/json/parse.hpp>
#include <map>

#include "text/huggingface_model.h"
#include "text/huggingface_steps.h"
#include "text/huggingface_tokenizer.h"
#include "text/json_fields.h"
#include "text/pretokenizers.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace exo::text {
namespace {

namespace json = boost::json;

// Words, contractions, numbers, spaces and lines, scripts, composed and decomposed accents, symbols, code.
constexpr std::string_view kProbes[] = {
    "Hello world! It's what I'd say, isn't it? WE'LL SEE: they've 'Done' it.",
    "  two  spaces,\ttabs\t\tand\n\nlines \r\n  indented\n   \n end   ",
    "1 12 123 1234 12345678 3.14159 1,000,000 v2.0 0x1F 10^-3 x2y3",
    "Grüße, naïve cafe\xCC\x81 é – “quotes” … ½ ² ﬁ Ａｂｃ１２３　x",
    "你好，世界。今天天气很好！ こんにちは、カタカナ 한국어 텍스트",
    "Привет мир Ελληνικά עברית العربية हिन्दी ภาษาไทย",
    "🙂👍🏽👨‍👩‍👧 → ∑∫√ ©®™ \xC2\xA0nbsp \xE2\x80\x8Bzero",
    "int main(int argc, char** argv) { return x->y[i] != 0 ? a+=1 : ~b; } // @param #include <a_b.h>",
    "https://example.com/a?b=c&d=%20e user@host.org snake_case camelCase CONSTANT_CASE \\n $5 50% ^_^",
    "a",
    " ",
    "\n",
    "ab ab",
    ""};

struct Source {
  json::object root, config;
  HuggingFaceSteps steps;
  std::unique_ptr<Tokenizer> tokenizer;
};

std::optional<json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::optional<Source> read_source(const formats::GgufMetadata& metadata) {
  const auto text = metadata.string("tokenizer.huggingface.json");
  if (!text || metadata.find("tokenizer.ggml.model") != nullptr) return std::nullopt;
  const auto config = metadata.string("tokenizer.huggingface.config");
  auto tokenizer = load_tokenizer_json(*text, config ? std::optional<std::string_view>(*config) : std::nullopt);
  auto root = parse_object(*text);
  auto config_object = config ? parse_object(*config) : json::object();
  if (!tokenizer || !root || !config_object) return std::nullopt;
  auto steps = read_huggingface_steps(find_value(*root, "normalizer"), find_value(*root, "pre_tokenizer"));
  if (!steps) return std::nullopt;
  return Source{std::move(*root), std::move(*config_object), std::move(*steps), std::move(*tokenizer)};
}

// Line ends and characters beyond ASCII written out, as the table of pre-tokenizers has them.
std::string plain_expression(std::string_view pattern) {
  std::string plain;
  while (!pattern.empty()) {
    const Utf8Step step = decode_utf8(pattern);
    if (step.code_point == '\r' || step.code_point == '\n') {
      plain += step.code_point == '\r' ? "\\r" : "\\n";
    } else if (step.code_point < 0x80) {
      plain += static_cast<char>(step.code_point);
    } else {
      plain += fmt::format("\\x{{{:X}}}", step.code_point);
    }
    pattern.remove_prefix(step.bytes);
  }
  return plain;
}

// The expressions of byte-level BPE; nullopt: something else happens to the text.
std::optional<std::vector<std::string>> expressions_of(const HuggingFaceSteps& steps) {
  std::vector<std::string> expressions;
  for (const SplitStep& step : steps.splits) {
    if (step.kind == SplitStep::Kind::kByteAlphabet || step.kind == SplitStep::Kind::kFromByteAlphabet) continue;
    if (step.kind != SplitStep::Kind::kRegex || step.behavior != SplitBehavior::kIsolated || step.invert)
      return std::nullopt;
    expressions.push_back(plain_expression(step.pattern));
  }
  return expressions;
}

// How a vocabulary of the folder looks in GGUF, without what is only of one kind of model.
std::optional<GgufTokenizer> export_vocabulary(const Source& source, const Vocabulary& vocabulary, size_t rows) {
  GgufTokenizer result;
  const auto count = std::max(rows, static_cast<size_t>(vocabulary.size()));
  for (size_t i = 0; i < count; ++i) {
    const auto id = static_cast<int32_t>(i);
    std::string text(vocabulary.contains(id) ? vocabulary.text(id) : "");
    TokenType type = vocabulary.contains(id) ? vocabulary.type(id) : TokenType::kUnused;
    if (text.empty()) text = fmt::format("[PAD{}]", id), type = TokenType::kUnused;
    if (type == TokenType::kNormal && !source.steps.byte_level && parse_byte_token(text)) type = TokenType::kByte;
    result.tokens.push_back(std::move(text));
    result.types.push_back(static_cast<int32_t>(type));
  }
  const SpecialTokens& special = source.tokenizer->special();
  result.bos = special.bos, result.eos = special.eos, result.padding = special.padding;
  result.unknown = special.unknown;
  const auto around = source.tokenizer->encode("a", {.add_special = true});
  const auto plain = source.tokenizer->encode("a", {.add_special = false});
  result.adds_bos = special.bos && around.size() > plain.size() && around.front() == *special.bos;
  result.adds_eos = special.eos && around.size() > plain.size() && around.back() == *special.eos;
  return result;
}

bool same_tokens(const Tokenizer& one, const Tokenizer& other) {
  for (const std::string_view text : kProbes)
    for (const bool add_special : {false, true})
      if (one.encode(text, {.add_special = add_special}) != other.encode(text, {.add_special = add_special}))
        return false;
  for (int32_t id = 0; id < one.vocabulary_size(); ++id) {
    if (!one.is_control(TokenId(id))) continue;
    const std::string text = fmt::format("x{}y", one.token_text(TokenId(id)));
    for (const bool parse : {false, true}) {
      const EncodeOptions options{.add_special = false, .parse_special = parse};
      if (one.encode(text, options) != other.encode(text, options)) return false;
    }
  }
  return true;
}

bool reads_back(const GgufTokenizer& made, const Tokenizer& original) {
  const auto read = load_tokenizer(made.metadata());
  return read && same_tokens(original, **read);
}

std::optional<GgufTokenizer> export_byte_level(const Source& source, GgufTokenizer made,
                                               const HuggingFaceModel& model) {
  const auto expressions = expressions_of(source.steps);
  const auto merges = model.merges();
  if (!expressions || !merges) return std::nullopt;
  made.model = "gpt2";
  for (const auto& [left, right] : *merges) made.merges.push_back(fmt::format("{} {}", left, right));
  for (const std::string_view pre : names_of_pretokenizers(*expressions)) {
    made.pre = pre;
    if (reads_back(made, *source.tokenizer)) return made;
  }
  return std::nullopt;
}

// SentencePiece merges what makes the token with the highest score: the merge that comes first has it.
std::vector<float> scores_of_merges(const GgufTokenizer& made, const HuggingFaceModel::Merges& merges) {
  std::map<std::string, float, std::less<>> ranks;
  for (size_t i = 0; i < merges.size(); ++i)
    ranks.emplace(fmt::format("{}{}", merges[i].first, merges[i].second), -static_cast<float>(i));
  std::vector<float> scores;
  for (const auto& token : made.tokens) {
    const auto found = ranks.find(token);
    scores.push_back(found != ranks.end() ? found->second : -static_cast<float>(merges.size() + 1));
  }
  return scores;
}

std::optional<GgufTokenizer> export_pieces(const Source& source, GgufTokenizer made) {
  if (made.unknown)
    made.types[static_cast<size_t>(made.unknown->value)] = static_cast<int32_t>(TokenType::kUnknown);
  for (const bool space_prefix : {true, false}) {
    made.space_prefix = space_prefix;
    if (reads_back(made, *source.tokenizer)) return made;
  }
  return std::nullopt;
}

}  // namespace

std::optional<GgufTokenizer> export_tokenizer(const formats::GgufMetadata& metadata, size_t rows) {
  const auto source = read_source(metadata);
  if (!source) return std::nullopt;
  const json::value& model_value = find_value(source->root, "model");
  const auto decoder = read_huggingface_decoder(find_value(source->root, "decoder"));
  const auto added = read_huggingface_added(source->root, source->config);
  const auto model = HuggingFaceModel::read(model_value.get_object());
  if (!decoder || !added || !model) return std::nullopt;
  const auto vocabulary = model->build_vocabulary(*added, *decoder, source->steps.byte_level);
  if (!vocabulary) return std::nullopt;
  auto made = export_vocabulary(*source, *vocabulary, rows);
  if (!made) return std::nullopt;
  if (!model->is_bpe()) return std::nullopt;
  if (source->steps.byte_level) return export_byte_level(*source, std::move(*made), *model);
  const auto merges = model->merges();
  if (!merges) return std::nullopt;
  made->model = "llama";
  made->scores = scores_of_merges(*made, *merges);
  return export_pieces(*source, std::move(*made));
}

}  // namespace exo::text
