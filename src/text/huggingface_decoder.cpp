#include "text/huggingface_decoder.h"

#include <memory>
#include <vector>

#include "text/byte_alphabet.h"
#include "text/huggingface_steps.h"
#include "text/json_fields.h"
#include "text/vocabulary.h"

namespace exo::text {
namespace {

namespace json = boost::json;

constexpr size_t kMaxNesting = 32;

// One step: changes the text of a token.
using Step = std::function<void(std::string& text, bool first)>;

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
}

// English as it is written: no space before a full stop, "n't" joined.
void clean_up(std::string& text) {
  constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kRules) replace_all(text, from, to);
}

class DecoderReader {
 public:
  Status read(const json::value& value, size_t depth = 0) {
    if (!value.is_object()) return fail(ErrorCode::kCorrupt, "tokenizer.json: a decoder is no object");
    if (depth > kMaxNesting) return fail(ErrorCode::kCorrupt, "tokenizer.json: decoders nest too deeply");
    const json::object& object = value.get_object();
    const std::string_view type = find_string(object, "type").value_or("");
    if (type == "Sequence") {
      for (const json::value& step : find_array(object, "decoders")) EXO_CHECK_OK(read(step, depth + 1));
    } else if (type == "ByteLevel") {
      steps.push_back([](std::string& text, bool) {
        if (auto bytes = decode_byte_alphabet(text)) text = std::move(*bytes);
      });
      fused_ = true;
    } else if (type == "ByteFallback") {
      steps.push_back([](std::string& text, bool) {
        if (const auto byte = parse_byte_token(text)) text.assign(1, static_cast<char>(*byte));
      });
    } else if (type == "Fuse") {
      fused_ = true;
    } else if (type == "Metaspace") {
      read_metaspace(object);
    } else if (type == "WordPiece") {
      read_wordpiece(object);
    } else if (type == "BPEDecoder") {
      const std::string suffix(find_string(object, "suffix").value_or("</w>"));
      steps.push_back([suffix](std::string& text, bool) { replace_all(text, suffix, " "); });
      drops_trailing_space = true;
    } else if (type == "Replace") {
      return read_replace(object);
    } else if (type == "Strip") {
      read_strip(object);
    } else {
      return fail(ErrorCode::kUnsupported, "tokenizer.json: decoder '{}' is not known", type);
    }
    return {};
  }

  std::vector<Step> steps;
  bool drops_trailing_space = false;

 private:
  void read_metaspace(const json::object& object) {
    const std::string mark(find_string(object, "replacement").value_or("▁"));
    const bool legacy = find_bool(object, "add_prefix_space").value_or(true);
    const bool prefixed = find_string(object, "prepend_scheme").value_or(legacy ? "always" : "never") != "never";
    steps.push_back(
        [mark, prefixed](std::string& text, bool first) { replace_all(text, mark, first && prefixed ? "" : " "); });
  }

  void read_wordpiece(const json::object& object) {
    const std::string prefix(find_string(object, "prefix").value_or("##"));
    const bool cleanup = find_bool(object, "cleanup").value_or(true);
    steps.push_back([prefix, cleanup](std::string& text, bool first) {
      if (!first) {
        if (text.starts_with(prefix))
          text.erase(0, prefix.size());
        else
          text.insert(0, " ");
      }
      if (cleanup) clean_up(text);
    });
  }

  Status read_replace(const json::object& object) {
    const std::string to(find_string(object, "content").value_or(""));
    const json::value& pattern = find_value(object, "pattern");
    if (pattern.is_object())
      if (const auto literal = find_string(pattern.get_object(), "String")) {
        steps.push_back(
            [from = std::string(*literal), to](std::string& text, bool) { replace_all(text, from, to); });
        return {};
      }
    EXO_TRY(const std::string expression, read_huggingface_pattern(object));
    EXO_TRY(SplitRegex regex, SplitRegex::compile(expression, true));
    auto normalizer = std::make_shared<TextNormalizer>();
    normalizer->add_replace(std::move(regex), to);
    steps.push_back([normalizer](std::string& text, bool) { text = normalizer->apply(text, true); });
    return {};
  }

  // Up to `start` characters in front and `stop` behind; of the whole text once the tokens are joined, where what
  // is behind the text's end is not known and stays.
  void read_strip(const json::object& object) {
    const std::string content(find_string(object, "content").value_or(" "));
    const auto count = [&](std::string_view name) { return as_integer(find_value(object, name)).value_or(0); };
    const int64_t start = count("start"), stop = fused_ ? 0 : count("stop");
    if (content.empty()) return;
    steps.push_back([content, start, stop, only_first = fused_](std::string& text, bool first) {
      for (int64_t i = 0; i < start && (first || !only_first) && text.starts_with(content); ++i)
        text.erase(0, content.size());
      for (int64_t i = 0; i < stop && text.ends_with(content); ++i) text.erase(text.size() - content.size());
    });
  }

  bool fused_ = false;
};

}  // namespace

Result<HuggingFaceDecoder> read_huggingface_decoder(const json::value& value) {
  DecoderReader reader;
  if (value.is_null()) {
    // Without a decoder tokens are joined by spaces.
    reader.steps.push_back([](std::string& text, bool first) {
      if (!first) text.insert(0, " ");
    });
  } else {
    EXO_CHECK_OK(reader.read(value));
  }
  const auto run = [steps = std::make_shared<const std::vector<Step>>(std::move(reader.steps))](
                       std::string_view token, bool first) {
    std::string text(token);
    for (const Step& step : *steps) step(text, first);
    return text;
  };
  HuggingFaceDecoder decoder;
  decoder.piece = [run](std::string_view token) { return run(token, false); };
  decoder.first_piece = [run](std::string_view token) { return run(token, true); };
  decoder.strips_leading_space = decoder.first_piece("▁a") == "a" && decoder.piece("▁a") == " a";
  decoder.drops_trailing_space = reader.drops_trailing_space;
  return decoder;
}

}  // namespace exo::text
